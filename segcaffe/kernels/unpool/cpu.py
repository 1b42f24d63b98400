"""Max unpooling on the CPU: planes are divided among threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
_GRAIN = 50_000
"""Elements worth a thread of their own."""
_compiled = njit(nogil=True, cache=True)


def forward(x: Array, places: Array, y: Array, bad: Array) -> None:
    found = np.full(len(y), -1)
    _over_planes(lambda start, stop: _forward(x, places, y, found, start, stop), y)
    bad[0] = found.max(initial=-1)


def backward(dy: Array, places: Array, dx: Array) -> None:
    _over_planes(lambda start, stop: _backward(dy, places, dx, start, stop), dx)


def _over_planes(body: Callable[[int, int], None], array: Array) -> None:
    parallel.run(len(array), body, max(1, _GRAIN // max(1, array.shape[1])))


@_compiled
def _index(place, size):
    """The place as an index, -1 where it is -1, -2 where it is out of range or NaN."""
    return np.int64(place) if place > -1 and place < size else -1 if place == -1 else -2


@_compiled
def _forward(x, places, y, found, start, stop):
    values = x.shape[1]
    for plane in range(start, stop):
        given, where, out = x[plane], places[plane], y[plane]
        out[:] = 0
        for i in range(values):
            k = _index(where[i], out.size)
            if k >= 0:
                out[k] = given[i]
            elif k == -2:
                found[plane] = plane * values + i


@_compiled
def _backward(dy, places, dx, start, stop):
    for plane in range(start, stop):
        given, where, out = dy[plane], places[plane], dx[plane]
        for i in range(out.size):
            k = _index(where[i], given.size)
            out[i] = given[k] if k >= 0 else 0
