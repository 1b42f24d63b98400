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
    """Compare; NaN and infinite values must be in the same places. One number may have other axes, which is told."""
    if expected.shape != received.shape:
        told = f"{_shape(received)} instead of {_shape(expected)}"
        if expected.size == received.size == 1:
            # Some programs know no arrays without axes.
            found = compare(expected.reshape(1), received.reshape(1))
            return found._replace(note="; ".join(filter(None, (found.note, told))))
        return Difference(math.inf, told)
    finite = np.isfinite(expected)
    if finite.all() and np.isfinite(received).all():
        return _of_numbers(expected.reshape(-1), received.reshape(-1))
    for name, test in (("NaN", np.isnan), ("inf", np.isposinf), ("-inf", np.isneginf)):
        elsewhere = int((test(expected) != test(received)).sum())
        if elsewhere:
            return Difference(math.inf, f"{name} in {elsewhere} of {expected.size} places in one of the two only")
    if not finite.any():
        return Difference(0.0, "no finite values", absolute=0.0)
    return _of_numbers(expected[finite], received[finite])


def _of_numbers(expected: Array, received: Array) -> Difference:
    if not expected.size:
        return Difference(0.0, "no values", absolute=0.0)
    apart = float(np.abs(np.subtract(expected, received, dtype=np.float64)).max())
    scale = float(np.abs(expected).max())
    if apart and not scale:
        return Difference(math.inf, "all zero in one of the two", expected.size, apart)
    return Difference(apart / scale if apart else 0.0, "", expected.size, apart)


def _shape(array: Array) -> str:
    return f"shape {'x'.join(map(str, array.shape))}" if array.shape else "a scalar"
