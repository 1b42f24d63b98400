"""Largest values on the CPU: one compiled pass for the largest alone, a stable sort for more."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
_BLOCK = 1024
"""Columns that are compared together, so that the best so far stay in the cache."""


def arg_max(x: Array, values: Array, indices: Array) -> None:
    outer, n, inner = x.shape
    if values.shape[1] > 1:
        _sorted(x, values, indices)
        return
    blocks = -(-inner // _BLOCK)

    def body(start: int, stop: int) -> None:
        _largest(start, stop, blocks, x, values, indices)

    parallel.run(outer * blocks, body, max(1, 50_000 // max(n * min(inner, _BLOCK), 1)))


@njit(nogil=True, cache=True)
def _largest(start, stop, blocks, x, values, indices):
    for k in range(start, stop):
        item, first = k // blocks, k % blocks * _BLOCK
        last = min(first + _BLOCK, x.shape[2])
        best, where = values[item, 0, first:last], indices[item, 0, first:last]
        for c in range(x.shape[1]):
            row = x[item, c, first:last]
            index = x.dtype.type(c)
            for i in range(row.size):
                better = (row[i] >= best[i]) | (c == 0)
                where[i] = index if better else where[i]
                best[i] = row[i] if better else best[i]


def _sorted(x: Array, values: Array, indices: Array) -> None:
    last = x.shape[1] - 1
    # Reversed, so that the stable sort leaves the larger of two indices in front.
    order = last - np.argsort(-x[:, ::-1], axis=1, kind="stable")[:, : values.shape[1]]
    indices[...] = order
    values[...] = np.take_along_axis(x, order, axis=1)
