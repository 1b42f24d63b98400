"""Confusion matrix of the best-scoring classes and labels."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("counts", "bad"))
def count(x: Array, label: Array, ignore: Array, counts: Array, bad: Array) -> None:
    """How often each class is predicted where each class is true.

    Parameters
    ----------
    x:
        (outer, C, inner) scores; the class with the largest is predicted, the later one among equals.
    label:
        (outer, inner) class numbers as floats, rounded towards zero.
    ignore:
        int64 labels that do not count, any number of them.
    counts:
        (C, C) int64 [true, predicted], overwritten.
    bad:
        (1,) int64: set to the flat position of a label that is no class and not ignored, -1 if all are good.
    """
