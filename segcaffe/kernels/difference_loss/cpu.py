"""Losses of differences on the CPU: one pass, sums by pieces whose number depends on the size only.

Each block has one loop that sums and one that stores: together they would have a vectorised form that runs only where
arrays are not close to each other, and that adds in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segcaffe.jit.compiled import SUMS_OF_ANY_ZERO, njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
_PIECE = 16_384
_BLOCK = 1024
"""Elements that are still in the first cache when the second loop reads them."""
_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=SUMS_OF_ANY_ZERO)


def absolute(a: Array, b: Array | None, plateau: float, slope: Array, totals: Array) -> None:
    arrays = (a, a if b is None else b, slope)
    _pieces(_absolute, arrays, (b is not None, a.dtype.type(plateau)), totals)


@_compiled
def _absolute(a, b, slope, has_b, plateau, sums):
    total, known = 0.0, 0
    one = plateau * 0 + 1
    for first in range(0, a.size, _BLOCK):
        part = slice(first, first + _BLOCK)
        x, y, to = a[part], b[part], slope[part]
        for i in range(x.size):
            d = x[i] - y[i] if has_b else x[i]
            # Nothing compares with a NaN, and it is not equal to itself.
            total += np.float64(abs(d)) if abs(d) >= plateau else 0.0
            known += d == d
        for i in range(x.size):
            d = x[i] - y[i] if has_b else x[i]
            to[i] = (one if d > 0 else -one) if abs(d) >= plateau else 0
    sums[0], sums[1] = total, known


def smooth(
    a: Array,
    b: Array,
    inside: Array | None,
    outside: Array | None,
    slope: Array,
    totals: Array,
    sharpness: float = 1.0,
) -> None:
    arrays = (a, b, a if inside is None else inside, a if outside is None else outside, slope)
    options = inside is not None, outside is not None, a.dtype.type(1), a.dtype.type(sharpness)
    _pieces(_smooth, arrays, options, totals)


@_compiled
def _smooth(a, b, inside, outside, slope, has_inside, has_outside, one, sharpness, sums):
    total = 0.0
    for first in range(0, a.size, _BLOCK):
        part = slice(first, first + _BLOCK)
        x, y, to, ws, vs = a[part], b[part], slope[part], inside[part], outside[part]
        for i in range(x.size):
            w = ws[i] if has_inside else one
            v = vs[i] if has_outside else one
            d = sharpness * w * (x[i] - y[i])
            s = min(max(d, -one), one)
            # f(d) = s d - s² / 2, s being its derivative.
            total += np.float64(v * s * (d - s / 2))
        for i in range(x.size):
            w = ws[i] if has_inside else one
            v = vs[i] if has_outside else one
            to[i] = v * w * min(max(sharpness * w * (x[i] - y[i]), -one), one)
    sums[0] = total / sharpness


def squares(a: Array, b: Array, difference: Array, totals: Array) -> None:
    _pieces(_squares, (a, b, difference), (), totals)


@_compiled
def _squares(a, b, difference, sums):
    total = 0.0
    for first in range(0, a.size, _BLOCK):
        part = slice(first, first + _BLOCK)
        x, y, to = a[part], b[part], difference[part]
        for i in range(x.size):
            d = np.float64(x[i] - y[i])
            total += d * d
        for i in range(x.size):
            to[i] = x[i] - y[i]
    sums[0] = total


def _pieces(function: Callable[..., None], arrays: tuple[Array, ...], options: tuple[Any, ...], totals: Array) -> None:
    """Call ``function(*arrays, *options, sums)`` for each piece of the flat arrays, and add the sums in order."""
    flat = [array.reshape(-1) for array in arrays]
    size = flat[0].size
    sums = np.zeros((-(-size // _PIECE), totals.size))

    def body(start: int, stop: int) -> None:
        for k in range(start, stop):
            part = slice(k * _PIECE, (k + 1) * _PIECE)
            function(*[array[part] for array in flat], *options, sums[k])

    parallel.run(len(sums), body, grain=2)
    totals[...] = sums.sum(axis=0)
