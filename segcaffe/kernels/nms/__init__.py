"""Non-maximum suppression of boxes."""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.dispatch import kernel

Array = Any


@kernel(writes=("stays",))
def suppress(boxes: Array, overlap: float, eta: float, stays: Array, most: int = -1) -> None:
    """Tell which boxes stay: those that overlap with none that stays before them.

    Parameters
    ----------
    boxes:
        (N, 4), in the order in which they are looked at.
    overlap:
        Two boxes overlap where their intersection over their union is larger.
    eta:
        Below 1: while ``overlap`` is above 0.5, it is multiplied by this for each box that stays.
    stays:
        (N,) of bool.
    most:
        How many stay at most, the first ones; negative: all.
    """
