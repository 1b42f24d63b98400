"""Copies on the CPU: NumPy's own loops, which release the interpreter lock, over parts of the longest axis.

Transposed blocks are turned in registers instead (`turned`): NumPy would fetch a cache line for each element.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.kernels.copy import repeated, turned
from segcaffe.kernels.vector.tile import vector_length
from segcaffe.threads import calls, parallel

Array = np.ndarray[Any, Any]
_GRAIN = 100_000
_SMALL = 4096
_TURNED = 16_384
"""Elements from which blocks turned in registers save more time than finding them takes."""


def copy(source: Array, target: Array) -> None:
    if target.size <= _SMALL:
        calls.call(np.copyto, target, source, "unsafe")
        return
    if source.shape != target.shape:
        source = np.broadcast_to(source, target.shape)
    if target.size >= _TURNED and source.dtype == target.dtype:
        walk = turned.plan(target.shape, source.strides, target.strides, target.itemsize)
        if walk is not None:
            _copy_turned(source, target, walk)
            return
    if target.size <= 2 * _GRAIN:
        calls.call(np.copyto, target, source, "unsafe")
        return
    axis = int(np.argmax(target.shape))
    before = (slice(None),) * axis

    def part(start: int, stop: int) -> Any:
        place = (*before, slice(start, stop))
        return ((np.copyto, (target[place], source[place], "unsafe")),)

    calls.run(target.shape[axis], part, _grain(target, axis))


def _copy_turned(source: Array, target: Array, walk: turned.Walk) -> None:
    arrays = turned.flat(source, walk), turned.flat(target, walk)
    axes = (walk.outer, walk.near, walk.last)
    part = lambda start, stop: ((turned.copy_parts, (*arrays, axes, walk.block, start, stop)),)  # noqa: E731
    calls.run(walk.parts, part, max(1, _GRAIN // (walk.block * walk.last[0])))


def sum_copies(source: Array, out: Array) -> None:
    axis = int(np.argmax(out.shape))

    def body(start: int, stop: int) -> None:
        part = slice(start, stop)
        if axis == 0:
            np.add.reduce(source[part], axis=1, out=out[part])
        else:
            np.add.reduce(source[:, :, part], axis=1, out=out[:, part])

    parallel.run(out.shape[axis], body, _grain(source, 0 if axis == 0 else 2))


def repeat(source: Array, target: Array) -> None:
    block = vector_length(target.dtype)
    part = lambda start, stop: ((repeated.repeat_rows, (source, target, block, start, stop)),)  # noqa: E731
    calls.run(len(source), part, max(1, _GRAIN * len(source) // max(target.size, 1)))


def _grain(array: Array, axis: int) -> int:
    """How many items along ``axis`` make a part worth a thread."""
    items: int = array.shape[axis]
    return max(1, _GRAIN * items // max(array.size, 1))
