"""Copies between blocks of larger arrays, by all threads."""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.dispatch import kernel

Array = Any


@kernel(writes=("target",))
def copy(source: Array, target: Array) -> None:
    """Set target = source; views of any strides, of equal shape (or source broadcast to target's)."""


@kernel(writes=("out",))
def sum_copies(source: Array, out: Array) -> None:
    """Set out (outer, inner) to the sums of source (outer, copies, inner) over the copies."""


@kernel(writes=("target",))
def repeat(source: Array, target: Array) -> None:
    """Set target[r, i, c, j] = source[r, c]: rows of pixels (R, W) become rows of blocks (R, fy, W, fx)."""
