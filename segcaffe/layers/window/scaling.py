"""Sizes of what is resized: sides times factors, and the room that the tables of rows and columns take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.device.host_memory import require

_MOST = 2**31 - 1
_TABLE_BYTES = 20
"""For each row and column, with what is in between while the tables are made."""


def scaled(extent: int, factor: float) -> int:
    """A side times a factor, in single precision and rounded down as the originals do; 0 where that is no side."""
    with np.errstate(over="ignore"):
        size = np.float32(extent) * np.float32(factor)
    return int(min(size, _MOST)) if size > 0 else 0


def require_tables(sides: Sequence[int]) -> None:
    """HostMemoryError where the machine has no room for tables of so many rows and columns."""
    require(sum(sides) * _TABLE_BYTES)
