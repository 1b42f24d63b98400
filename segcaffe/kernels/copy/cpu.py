"""Copies on the CPU: NumPy's own loops, which release the interpreter lock, over parts of the longest axis."""
# ruff: noqa: D103 (the contracts are in the package)

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.kernels import parallel

Array = np.ndarray[Any, Any]
_GRAIN = 100_000


def copy(source: Array, target: Array) -> None:
    if target.size <= 2 * _GRAIN:
        target[...] = source
        return
    source = np.broadcast_to(source, target.shape)
    axis = int(np.argmax(target.shape))
    before = (slice(None),) * axis

    def body(start: int, stop: int) -> None:
        part = (*before, slice(start, stop))
        target[part] = source[part]

    parallel.run(target.shape[axis], body, _grain(target, axis))


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
