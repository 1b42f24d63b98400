"""Copies on the CPU: NumPy's own loops, which release the interpreter lock, over parts of the longest axis.

Transposed blocks are copied by tiles instead: NumPy would fetch a cache line for each element.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
_GRAIN = 100_000
_SMALL = 4096
_TILE = 16
_MANY, _FAR = 1024, 65_536
"""Rows, and bytes between rows, beyond which NumPy's copy of a transposed block slows down."""


def copy(source: Array, target: Array) -> None:
    if target.size <= _SMALL:
        target[...] = source
        return
    if source.shape != target.shape:
        source = np.broadcast_to(source, target.shape)
    if _is_transposed(source, target):
        _copy_transposed(source, target)
        return
    if target.size <= 2 * _GRAIN:
        target[...] = source
        return
    axis = int(np.argmax(target.shape))
    before = (slice(None),) * axis

    def body(start: int, stop: int) -> None:
        part = (*before, slice(start, stop))
        target[part] = source[part]

    parallel.run(target.shape[axis], body, _grain(target, axis))


def _is_transposed(source: Array, target: Array) -> bool:
    """Whether a walk along the source writes to so many, or so distant, places that the cache does not hold them."""
    if not 2 <= target.ndim <= 4 or min(source.strides) != source.itemsize or target.strides[-1] != target.itemsize:
        return False
    near = int(np.argmin(source.strides))
    return near < target.ndim - 1 and (target.shape[near] > _MANY or target.strides[near] >= _FAR)


def _copy_transposed(source: Array, target: Array) -> None:
    """Copy tile by tile, each small enough that the cache holds its rows both of the source and of the target."""
    near = int(np.argmin(source.strides))
    views = [np.moveaxis(array, near, -2) for array in (source, target)]
    shape = (1,) * (4 - target.ndim) + views[1].shape
    from_4d, to_4d = (view[(None,) * (4 - target.ndim)] for view in views)
    rows = -(-shape[2] // _TILE)

    def body(start: int, stop: int) -> None:
        _copy_tiles(from_4d, to_4d, rows, start, stop)

    parallel.run(shape[0] * shape[1] * rows, body, max(1, _GRAIN // (_TILE * shape[3])))


@njit(nogil=True, cache=True)
def _copy_tiles(source, target, rows, start, stop):
    middle, height, width = target.shape[1:]
    for k in range(start, stop):
        n, first = k // rows, k % rows * _TILE
        a, b = source[n // middle, n % middle], target[n // middle, n % middle]
        for left in range(0, width, _TILE):
            for i in range(first, min(height, first + _TILE)):
                for j in range(left, min(width, left + _TILE)):
                    b[i, j] = a[i, j]


def sum_copies(source: Array, out: Array) -> None:
    axis = int(np.argmax(out.shape))

    def body(start: int, stop: int) -> None:
        part = slice(start, stop)
        if axis == 0:
            np.add.reduce(source[part], axis=1, out=out[part])
        else:
            np.add.reduce(source[:, :, part], axis=1, out=out[:, part])

    parallel.run(out.shape[axis], body, _grain(source, 0 if axis == 0 else 2))


def _grain(array: Array, axis: int) -> int:
    """How many items along ``axis`` make a part worth a thread."""
    items: int = array.shape[axis]
    return max(1, _GRAIN * items // max(array.size, 1))
