"""A permutohedral lattice for the points of one image, as the fully connected CRFs use it."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.errors import DataError
from segcaffe.kernels import permutohedral

Array = Any
_LARGEST = 1e5


class Lattice:
    """Gaussian filter among the points of an image, divided by what it makes of ones.

    Parameters
    ----------
    features:
        (D, P): what makes points alike, in standard deviations; computed on in float32.
    dtype:
        Of the values to be filtered.
    where:
        How error messages name the owner, ``layer "crf" (DenseCRF)``.

    Raises
    ------
    DataError
        A feature is not a number, or so large that float32 does not tell its simplex.
    """

    def __init__(self, features: Array, dtype: Any, where: str) -> None:
        xp = device.array_module(features)
        points = xp.ascontiguousarray(features.T.astype(np.float32))
        if not bool((xp.abs(points) < _LARGEST).all()):
            raise DataError(
                f"{where}: positions and colours, divided by their deviations, must be numbers below {_LARGEST:g} in "
                f"size; check the image and the deviations. Received: {_worst(xp, points)}."
            )
        num, dims = points.shape
        self._vertices = xp.empty((num, dims + 1), np.int32)
        self._weights = xp.empty((num, dims + 1), dtype)
        neighbours = xp.empty((dims + 1, num * (dims + 1), 2), np.int32)
        count = xp.zeros(1, np.int64)
        permutohedral.build(points, self._vertices, self._weights, neighbours, count)
        # A copy, so that the room for as many vertices as there could have been is given back.
        self._neighbours = neighbours[:, : int(count[0])].copy()
        ones, total = xp.ones((1, num), dtype), xp.empty((1, num), dtype)
        self.apply(ones, total)
        self._inverse = 1 / (total + xp.asarray(1e-20, dtype))

    @property
    def inverse(self) -> Array:
        """One over what the filter makes of ones, (1, P)."""
        return self._inverse

    def apply(self, values: Array, out: Array, reverse: bool = False, **factors: Any) -> None:
        """Filter ``values`` (C, P) into ``out`` without dividing; factors and ``adds`` as `permutohedral.apply` has."""
        permutohedral.apply(values, self._vertices, self._weights, self._neighbours, out, reverse, **factors)

    def filter(self, values: Array, out: Array, transposed: bool = False) -> None:
        """Fill ``out`` (C, P) with the normalised filter of ``values`` (C, P), or with its adjoint."""
        self.apply(values, out, transposed, **{"before" if transposed else "after": self._inverse})


def _worst(xp: Any, points: Array) -> str:
    return "NaN" if bool(xp.isnan(points).any()) else f"{float(xp.abs(points).max()):g}"


def coordinates(xp: Any, height: int, width: int, deviation: float) -> Array:
    """Column and row of each pixel, (2, height · width), in units of ``deviation`` pixels."""
    rows, columns = xp.meshgrid(xp.arange(height), xp.arange(width), indexing="ij")
    positions: Array = xp.stack([columns.ravel(), rows.ravel()]).astype(np.float32) / np.float32(deviation)
    return positions


def bilateral(xp: Any, image: Array, xy_deviation: float, color_deviation: float) -> Array:
    """Position and colour of each pixel of ``image`` (C, H, W): (2 + C, H · W), in units of their deviations."""
    positions = coordinates(xp, image.shape[1], image.shape[2], xy_deviation)
    colors = image.reshape(len(image), -1).astype(np.float32) / np.float32(color_deviation)
    return xp.concatenate([positions, colors])
