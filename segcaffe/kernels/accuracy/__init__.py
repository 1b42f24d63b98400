"""Counting how many labels are among the best-scoring classes."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("counts", "bad"))
def count(x: Array, label: Array, top_k: int, ignore: int, counts: Array, bad: Array) -> None:
    """Hits and labels of each class.

    Parameters
    ----------
    x:
        (outer, C, inner) scores.
    label:
        (outer, inner) class numbers as floats, rounded towards zero.
    top_k:
        A label is a hit if fewer than this many other classes score at least as high.
    ignore:
        The label that does not count, or `softmax_loss.NO_IGNORE`.
    counts:
        (2, C) int64: set to the hits of each class, and to how often it is the label.
    bad:
        (1,) int64: set to the flat position of a label that is no class and not ignored, -1 if all are good.
    """
