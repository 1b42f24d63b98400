"""Mean-field inference in fully connected CRFs, under pydensecrf's names (its version 1.0rc3 was compared with)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segcaffe.errors import ShapeError
from segcaffe.functional.lattice import Lattice, coordinates
from segcaffe.kernels import softmax

Matrix = npt.NDArray[np.float32]
Size = float | Sequence[float]

CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL = 0, 1, 2
"""What of a kernel pydensecrf can learn; for inference all are alike."""
NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER, NORMALIZE_SYMMETRIC = 0, 1, 2, 3
"""Where a filter is divided by what it makes of ones: nowhere, before it, after it, or by the root of it in both."""
_LEAST = np.float32(1e-20)


class _Pairwise(NamedTuple):
    """A potential: the lattice, the factors before and after it, and what classes cost beside each other."""

    lattice: Lattice
    before: Matrix | None
    after: Matrix | None
    compat: Any

    def energy(self, q: Matrix) -> Matrix:
        """The energy (M, N) of probabilities (M, N)."""
        result = np.zeros_like(q)
        self.subtract(q, result)
        return np.negative(result, out=result)

    def subtract(self, q: Matrix, scores: Matrix) -> None:
        """Take the energy of probabilities ``q`` (M, N) off ``scores``."""
        if self.compat.ndim == 0:
            factors = np.full_like(scores[:1], self.compat) if self.after is None else self.compat * self.after
            self.lattice.apply(q, scores, before=self.before, after=factors, adds=True)
            return
        out = np.empty_like(q)
        self.lattice.apply(q, out, before=self.before, after=self.after)
        scores -= self.compat[:, None] * out if self.compat.ndim == 1 else self.compat @ out


class DenseCRF:
    """A fully connected CRF over ``nvar`` points with ``nlabels`` classes."""

    def __init__(self, nvar: int, nlabels: int) -> None:
        if nvar < 1 or nlabels < 1:
            raise ShapeError(f"A CRF needs points and classes. Received: {nvar} points, {nlabels} classes.")
        self._nvar, self._nlabels = int(nvar), int(nlabels)
        self._unary: Matrix | None = None
        self._pairwise: list[_Pairwise] = []

    def setUnaryEnergy(self, u: npt.ArrayLike) -> None:
        """Set the energies (nlabels, nvar): negative logarithms of probabilities."""
        unary = np.ascontiguousarray(u, np.float32)
        if unary.shape != (self._nlabels, self._nvar):
            rule = f"Unary energies must have shape (classes, points) = {self._nlabels, self._nvar}"
            raise ShapeError(f"{rule}. Received: {unary.shape}.")
        self._unary = unary

    def addPairwiseEnergy(
        self,
        features: npt.ArrayLike,
        compat: float | npt.ArrayLike,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a Gaussian potential.

        Parameters
        ----------
        features:
            (D, nvar), in units of the Gaussian's deviations.
        compat:
            A number for Potts potentials: what unlike neighbours cost. (nlabels,) or (nlabels, nlabels): the energy
            that neighbours' classes add, of which a matrix's symmetric part is taken.
        kernel:
            Of no effect on inference.
        normalization:
            One of the constants of this module.
        """
        points = np.ascontiguousarray(features, np.float32)
        if points.ndim != 2 or points.shape[1] != self._nvar:
            rule = f"Features must have shape (D, points) with {self._nvar} points"
            raise ShapeError(f"{rule}. Received: {points.shape}.")
        if kernel not in (CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL):
            raise ShapeError(f"The kernel is CONST_KERNEL, DIAG_KERNEL or FULL_KERNEL. Received: {kernel!r}.")
        lattice = Lattice(points, np.float32, "DenseCRF")
        before, after = _factors(lattice, normalization)
        self._pairwise.append(_Pairwise(lattice, before, after, self._compat(compat)))

    def inference(self, niter: int) -> Matrix:
        """Run ``niter`` iterations and return the probabilities, (nlabels, nvar)."""
        q, _, _ = self.startInference()
        for _ in range(niter):
            q = self._step(q)
        return q

    def startInference(self) -> tuple[Matrix, Matrix, Matrix]:
        """Return the probabilities of the unary energies alone, and two arrays for `stepInference`."""
        unary = np.zeros((self._nlabels, self._nvar), np.float32) if self._unary is None else self._unary
        return _probabilities(-unary), np.empty((0, 0), np.float32), np.empty((0, 0), np.float32)

    def stepInference(self, Q: Matrix, tmp1: Any = None, tmp2: Any = None) -> None:
        """Run one iteration on ``Q``, in place. The other two arrays are not needed."""
        Q[...] = self._step(Q)

    def klDivergence(self, Q: npt.ArrayLike) -> float:
        """What inference makes small: the divergence of probabilities ``Q`` from the CRF's, but for a constant."""
        q = np.ascontiguousarray(Q, np.float32)
        energy = np.log(np.maximum(q, _LEAST))
        if self._unary is not None:
            energy += self._unary
        for potential in self._pairwise:
            energy += potential.energy(q)
        return float(np.vdot(q.astype(np.float64), energy))

    def _step(self, q: Matrix) -> Matrix:
        scores = np.zeros_like(q) if self._unary is None else -self._unary
        q = np.ascontiguousarray(q)
        for potential in self._pairwise:
            potential.subtract(q, scores)
        return _probabilities(scores)

    def _compat(self, compat: float | npt.ArrayLike) -> Any:
        values = np.asarray(compat, np.float32)
        if values.ndim > 2 or any(size != self._nlabels for size in values.shape):
            rule = f"compat is a number, or has shape ({self._nlabels},) or {self._nlabels, self._nlabels}"
            raise ShapeError(f"{rule}. Received: {values.shape}.")
        return (values + values.T) / 2 if values.ndim == 2 else values


class DenseCRF2D(DenseCRF):
    """A fully connected CRF over the pixels of an image, row by row."""

    def __init__(self, w: int, h: int, nlabels: int) -> None:
        super().__init__(w * h, nlabels)
        self._w, self._h = int(w), int(h)

    def addPairwiseGaussian(
        self,
        sxy: Size,
        compat: float | npt.ArrayLike,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a potential of position; ``sxy`` is its deviation in pixels, of x and of y where there are two."""
        self.addPairwiseEnergy(self._positions(sxy), compat, kernel, normalization)

    def addPairwiseBilateral(
        self,
        sxy: Size,
        srgb: Size,
        rgbim: npt.ArrayLike,
        compat: float | npt.ArrayLike,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Add a potential of position and colour.

        Parameters
        ----------
        sxy, srgb:
            Deviations in pixels and in units of colour, one number or one for each axis and channel.
        rgbim:
            (h, w, channels). pydensecrf takes three channels of uint8 alone; here any number, of any dtype.
        """
        image = np.asarray(rgbim)
        if image.ndim != 3 or image.shape[:2] != (self._h, self._w):
            rule = f"The image must have shape (height, width, channels) with {self._h}x{self._w} pixels"
            raise ShapeError(f"{rule}. Received: {image.shape}.")
        deviations = np.broadcast_to(_deviations("srgb", srgb, image.shape[2]), image.shape[2])
        colors = image.reshape(-1, image.shape[2]).T.astype(np.float32) / deviations[:, None]
        features = np.concatenate([self._positions(sxy), colors])
        self.addPairwiseEnergy(features, compat, kernel, normalization)

    def _positions(self, sxy: Size) -> Matrix:
        deviations = np.broadcast_to(_deviations("sxy", sxy, 2), 2)
        positions: Matrix = coordinates(np, self._h, self._w, 1.0) / deviations[:, None]
        return positions


def _deviations(name: str, given: Size, count: int) -> Matrix:
    values = np.asarray(given, np.float32)
    if values.shape not in ((), (count,)) or not (values > 0).all():
        raise ShapeError(f"{name} is a positive number, or {count} of them. Received: {given!r}.")
    return values


def _factors(lattice: Lattice, normalization: int) -> tuple[Matrix | None, Matrix | None]:
    """What values are multiplied by before the filter and after it."""
    inverse = lattice.inverse
    if normalization == NORMALIZE_SYMMETRIC:
        root = np.sqrt(inverse)
        return root, root
    if normalization not in (NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER):
        raise ShapeError(
            "The normalization is NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER or NORMALIZE_SYMMETRIC. "
            f"Received: {normalization!r}."
        )
    before, after = normalization == NORMALIZE_BEFORE, normalization == NORMALIZE_AFTER
    return (inverse if before else None), (inverse if after else None)


def _probabilities(scores: Matrix) -> Matrix:
    out = np.empty_like(scores)
    softmax.forward(np.ascontiguousarray(scores)[None], out[None])
    return out
