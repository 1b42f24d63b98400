"""How far two arrays are apart."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
TOLERANCE = 1e-4
"""What is allowed unless told otherwise, of the largest value."""


class Difference(NamedTuple):
    """What was found.

    Attributes
    ----------
    largest:
        The largest difference of two finite values, as a part of the largest finite value that was expected; infinite
        where the two cannot be compared.
    note:
        Why not, or what is to be said besides.
    compared:
        How many finite values were compared.
    absolute:
        The largest difference of two finite values as it is; infinite where the two cannot be compared.
    """

    largest: float
    note: str = ""
    compared: int = 0
    absolute: float = math.inf

    def within(self, tolerance: float) -> bool:
        """Whether the two are equal for all purposes."""
        return self.largest <= tolerance


def compare(expected: Array, received: Array) -> Difference:
    """Compare; NaN and infinite values must be in the same places."""
    if expected.shape != received.shape:
        return Difference(math.inf, f"shape {_shape(received)} instead of {_shape(expected)}")
    ours, theirs = expected.astype(np.float64), received.astype(np.float64)
    finite = np.isfinite(ours)
    for name, test in (("NaN", np.isnan), ("inf", np.isposinf), ("-inf", np.isneginf)):
        elsewhere = int((test(ours) != test(theirs)).sum())
        if elsewhere:
            return Difference(math.inf, f"{name} in {elsewhere} of {ours.size} places in one of the two only")
    count = int(finite.sum())
    if not count:
        return Difference(0.0, "no finite values" if ours.size else "no values", absolute=0.0)
    apart = float(np.abs(ours[finite] - theirs[finite]).max())
    scale = float(np.abs(ours[finite]).max())
    if not apart:
        return Difference(0.0, "", count, 0.0)
    if not scale:
        return Difference(math.inf, "all zero in one of the two", count, apart)
    return Difference(apart / scale, "", count, apart)


def _shape(array: Array) -> str:
    return "x".join(map(str, array.shape)) or "of a scalar"
