"""Losses of the difference of two arrays: the sum over all elements, and each element's derivative."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("slope", "totals"))
def absolute(a: Array, b: Array | None, plateau: float, slope: Array, totals: Array) -> None:
    """Sum |d|, d = a - b (or a, where b is None).

    Parameters
    ----------
    a, b:
        Contiguous, of one shape. Elements where d is NaN count nothing.
    plateau:
        Elements with |d| below it count 0.
    slope:
        Of the same shape: 1 where d > 0, else -1; 0 for what does not count.
    totals:
        Two float64: the sum, and the number of elements that are not NaN.
    """


@kernel(writes=("slope", "totals"))
def smooth(
    a: Array,
    b: Array,
    inside: Array | None,
    outside: Array | None,
    slope: Array,
    totals: Array,
    sharpness: float = 1.0,
) -> None:
    """Sum outside·f(sharpness·inside·(a - b)) / sharpness, f(x) = x²/2 for |x| < 1, |x| - 1/2 beyond.

    Parameters
    ----------
    a, b, inside, outside:
        Contiguous, of one shape; weights that are None are 1.
    slope:
        Of the same shape: the derivative by a.
    totals:
        One float64: the sum.
    sharpness:
        Where the quadratic part ends: at a weighted difference of 1 / sharpness.
    """


@kernel(writes=("difference", "totals"))
def squares(a: Array, b: Array, difference: Array, totals: Array) -> None:
    """Set ``difference`` = a - b and ``totals``, one float64, to the sum of its squares."""
