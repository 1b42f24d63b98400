"""Sums of rows by index on the CPU: columns divided among threads, so that each sum has one order."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
_GRAIN = 1 << 15
"""Elements worth a thread of their own."""


def add_rows(rows: Array, index: Array, table: Array) -> None:
    """Add each row to its place in the table; see the contract."""

    def part(start: int, stop: int) -> None:
        _add(rows, index, table, start, stop)

    parallel.run(rows.shape[1], part, grain=max(16, _GRAIN // max(1, rows.shape[0])))


@njit(nogil=True, cache=True)
def _add(rows, index, table, start, stop):
    for m in range(rows.shape[0]):
        v = int(index[m])
        for d in range(start, stop):
            table[v, d] += rows[m, d]
