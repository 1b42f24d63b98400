"""Mean-field inference in a fully connected CRF, by Gaussian filters on permutohedral lattices."""

from __future__ import annotations

from typing import Any, NamedTuple

from segcaffe import device
from segcaffe.functional.arrays import Given, check_images, fail, take
from segcaffe.functional.kept import Kept
from segcaffe.functional.lattice import Lattice, bilateral, coordinates
from segcaffe.kernels.meanfield.iterations import Iterations

Array = Any


class PermutohedralGradients(NamedTuple):
    """Gradients of `permutohedral_meanfield`; those of the matrices are (C, C) whatever they were given as."""

    unary: Any
    spatial: Any
    bilateral: Any
    compat: Any


def permutohedral_meanfield(
    unary: Any,
    image: Any,
    spatial: Any = 3.0,
    bilateral: Any = 10.0,
    compat: Any = None,
    *,
    theta_alpha: float = 80.0,
    theta_beta: float = 13.0,
    theta_gamma: float = 3.0,
    iterations: int = 5,
    keep: Kept | None = None,
) -> Any:
    """Sharpen scores by mean-field inference in a CRF that connects all pixels.

    Each iteration is ``q = unary - compat · (spatial · S(p) + bilateral · B(p))`` with ``p = softmax(q)``; S is a
    Gaussian filter of position, B of position and colour, each divided by what it makes of ones. The first q is
    ``unary``.

    Parameters
    ----------
    unary:
        (N, C, H, W), scores of classes before a softmax, float32 or float64. Energies are their negative.
    image:
        (N, E, H, W), in units of ``theta_beta``: colours from 0 to 255 for the default, which may be whole numbers. It
        gets no gradient.
    spatial, bilateral:
        A number, or a matrix (C, C) that mixes the classes.
    compat:
        (C, C), what classes cost beside each other; None: minus the identity (Potts).
    theta_alpha, theta_beta:
        Deviations of the bilateral Gaussian, in pixels and in units of colour.
    theta_gamma:
        That of the spatial one, in pixels.
    iterations:
        1 or more.
    keep:
        Where to keep what `permutohedral_meanfield_backward` would otherwise compute again.

    Returns
    -------
    (N, C, H, W), scores without a softmax.

    Raises
    ------
    ShapeError
        Arrays or numbers are not as told.
    DataError
        An image's values are too large, or no numbers.

    Sources: Krähenbühl, Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NIPS 2011;
    Zheng et al., "Conditional Random Fields as Recurrent Neural Networks", ICCV 2015. The layer is MultiStageMeanfield.
    """
    thetas = theta_alpha, theta_beta, theta_gamma
    given = take("permutohedral_meanfield", "image", unary=unary, image=image)
    task = _Task("permutohedral_meanfield", given, (spatial, bilateral, compat), thetas, iterations)
    out = task.forward()
    if keep is not None:
        keep.put(task)
    return given.back(out)


def permutohedral_meanfield_backward(
    grad: Any,
    unary: Any,
    image: Any,
    spatial: Any = 3.0,
    bilateral: Any = 10.0,
    compat: Any = None,
    *,
    theta_alpha: float = 80.0,
    theta_beta: float = 13.0,
    theta_gamma: float = 3.0,
    iterations: int = 5,
    keep: Kept | None = None,
) -> PermutohedralGradients:
    """Gradients of `permutohedral_meanfield`, from ``grad`` (N, C, H, W), that of its result.

    ``keep`` is what the forward pass with the same arguments was given; without it, that pass is repeated.
    """
    name, thetas = "permutohedral_meanfield_backward", (theta_alpha, theta_beta, theta_gamma)
    given = take(name, "image", grad=grad, unary=unary, image=image)

    def make() -> _Task:
        made = _Task(name, given, (spatial, bilateral, compat), thetas, iterations)
        made.forward()
        return made

    task = make() if keep is None else keep.take(make)
    if given.arrays[0].shape != task.unary.shape:
        raise fail(name, f"grad must have the shape of unary, {task.unary.shape}", f"{given.arrays[0].shape}")
    return PermutohedralGradients(*map(given.back, task.backward(given.arrays[0])))


class _Task:
    """The filters of what was given."""

    def __init__(
        self, name: str, given: Given, matrices: tuple[Any, ...], thetas: tuple[float, ...], iterations: int
    ) -> None:
        self.unary, image = given.arrays[-2:]
        check_images(name, unary=self.unary, image=image)
        if not isinstance(iterations, int) or iterations < 1:
            raise fail(name, "iterations must be a whole number, 1 or more", repr(iterations))
        for what, theta in zip(("theta_alpha", "theta_beta", "theta_gamma"), thetas, strict=True):
            if not theta > 0:
                raise fail(name, f"{what} must be positive", repr(theta))
        self.xp = device.array_module(self.unary)
        names = ("spatial", "bilateral", "compat")
        self.matrices = [self._matrix(name, what, one) for what, one in zip(names, matrices, strict=True)]
        alpha, beta, gamma = thetas
        size, dtype = self.unary.shape[2:], self.unary.dtype
        self.spatial = Lattice(coordinates(self.xp, size[0], size[1], gamma), dtype, name)
        self.bilateral = [Lattice(bilateral(self.xp, one, alpha, beta), dtype, name) for one in image]
        self.iterations = Iterations(iterations, 2)

    def forward(self) -> Array:
        """The last scores."""
        out = self.xp.empty_like(self.unary)
        self.iterations.forward(self.unary, self.unary, self, self.matrices, out)
        return out

    def backward(self, grad: Array) -> list[Array]:
        """Gradients of the scores and the matrices, after `forward`."""
        scores = [self.xp.empty_like(grad), self.xp.empty_like(grad)]
        totals = [self.xp.zeros_like(matrix) for matrix in self.matrices]
        self.iterations.backward(grad, self, self.matrices, scores, totals)
        return [scores[0] + scores[1], *totals]

    def filter(self, index: int, values: Array, out: Array, transposed: bool) -> None:
        """Filter each image on its lattice."""
        classes = self.unary.shape[1]
        for n in range(len(values)):
            lattice = self.spatial if index == 0 else self.bilateral[n]
            lattice.filter(values[n].reshape(classes, -1), out[n].reshape(classes, -1), transposed)

    def add_filter_grad(self, index: int, values: Array, out_grad: Array) -> None:
        """The lattices are not learnt."""

    def _matrix(self, name: str, what: str, value: Any) -> Array:
        classes, identity = self.unary.shape[1], self.xp.eye(self.unary.shape[1], dtype=self.unary.dtype)
        if value is None:
            return -identity
        if isinstance(value, (int, float)):
            return identity * self.unary.dtype.type(value)
        matrix = take(name, unary=self.unary, **{what: value}).arrays[1]
        if tuple(matrix.shape) != (classes, classes):
            raise fail(name, f"{what} must have shape ({classes}, {classes})", f"{tuple(matrix.shape)}")
        return matrix
