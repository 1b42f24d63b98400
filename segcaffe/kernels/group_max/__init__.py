"""Maxima over groups of neighbouring channels."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("y", "first"))
def forward(x: Array, y: Array, first: Array) -> None:
    """Set y to the largest value of each group and the integers ``first`` to the first channel that has it.

    Parameters
    ----------
    x:
        (groups, size, positions), contiguous.
    y, first:
        (groups, positions), contiguous.
    """


@kernel(writes=("dx",))
def backward(dy: Array, first: Array, dx: Array) -> None:
    """Set dx (groups, size, positions) to dy at the channel ``first``, 0 elsewhere."""
