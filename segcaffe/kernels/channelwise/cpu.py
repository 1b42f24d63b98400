"""Channel-wise maps and sums on the CPU.

A map runs over ranges of the flat array; where inner is 1 a whole row of channels is a run of its own. A sum is made of
partial sums over pieces of at most `_PIECE` elements, whose number depends on the shapes only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segcaffe.jit.compiled import CONTRACT, SUMS_OF_ANY_ZERO, njit
from segcaffe.threads import calls, parallel

Array = np.ndarray[Any, Any]
_GRAIN = 50_000
_PIECE = 16_384
_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=CONTRACT)
_summing = njit(nogil=True, cache=True, error_model="numpy", fastmath=SUMS_OF_ANY_ZERO)


def affine(x: Array, scale: Array, bias: Array, y: Array) -> None:
    _map(_affine, (x,), (scale, bias), y)


@_compiled
def _affine(start, stop, inner, x, scale, bias, y):
    if inner == 1:
        for first in range(start, stop, scale.size):
            row, to = x[first : first + scale.size], y[first : first + scale.size]
            for c in range(scale.size):
                to[c] = row[c] * scale[c] + bias[c]
        return
    while start < stop:
        row_index = start // inner
        end = min(stop, (row_index + 1) * inner)
        s, b = scale[row_index % scale.size], bias[row_index % scale.size]
        row, to = x[start:end], y[start:end]
        for i in range(row.size):
            to[i] = row[i] * s + b
        start = end


def rectified_affine(x: Array, scale: Array, bias: Array, slope: Array, y: Array) -> None:
    _map(_rectified_affine, (x,), (scale, bias, slope), y)


@_compiled
def _rectified_affine(start, stop, inner, x, scale, bias, slope, y):
    zero = y.dtype.type(0)
    if inner == 1:
        for first in range(start, stop, scale.size):
            row, to = x[first : first + scale.size], y[first : first + scale.size]
            for c in range(scale.size):
                value = row[c] * scale[c] + bias[c]
                low = slope[c] * value if slope[c] != 0 else zero
                to[c] = low if value <= 0 else value
        return
    while start < stop:
        row_index = start // inner
        end = min(stop, (row_index + 1) * inner)
        c = row_index % scale.size
        s, b, t = scale[c], bias[c], slope[c]
        row, to = x[start:end], y[start:end]
        if t == 0:
            for i in range(row.size):
                value = row[i] * s + b
                to[i] = zero if value <= 0 else value
        else:
            for i in range(row.size):
                value = row[i] * s + b
                to[i] = t * value if value <= 0 else value
        start = end


def rectified_affine_grad(y: Array, dy: Array, scale: Array, slope: float, dx: Array) -> None:
    _map(_rectified_affine_grad, (y, dy), (scale, scale * y.dtype.type(slope)), dx)


@_compiled
def _rectified_affine_grad(start, stop, inner, y, dy, above, below, dx):
    if inner == 1:
        for first in range(start, stop, above.size):
            last = first + above.size
            row, given, to = y[first:last], dy[first:last], dx[first:last]
            for c in range(above.size):
                to[c] = given[c] * (above[c] if row[c] > 0 else below[c])
        return
    while start < stop:
        row_index = start // inner
        end = min(stop, (row_index + 1) * inner)
        s, t = above[row_index % above.size], below[row_index % above.size]
        row, given, to = y[start:end], dy[start:end], dx[start:end]
        for i in range(row.size):
            to[i] = given[i] * (s if row[i] > 0 else t)
        start = end


def prelu(x: Array, slope: Array, y: Array) -> None:
    prelu_grad(x, x, slope, y)


def prelu_grad(x: Array, dy: Array, slope: Array, dx: Array) -> None:
    _map(_prelu_grad, (x, dy), (slope,), dx)


@_compiled
def _prelu_grad(start, stop, inner, x, dy, slope, dx):
    if inner == 1:
        for i in range(start, stop):
            dx[i] = dy[i] if x[i] > 0 else slope[i % slope.size] * dy[i]
        return
    while start < stop:
        row_index = start // inner
        end = min(stop, (row_index + 1) * inner)
        s = slope[row_index % slope.size]
        row, given, to = x[start:end], dy[start:end], dx[start:end]
        for i in range(row.size):
            to[i] = given[i] if row[i] > 0 else s * given[i]
        start = end


def channel_sum(x: Array, out: Array) -> None:
    _sum(_row_sums, (x,), out)


@_summing
def _row_sums(start, stop, size, pieces, x, partial):
    for k in range(start, stop):
        row, piece = k // pieces, k % pieces
        values = x[row * size + size * piece // pieces : row * size + size * (piece + 1) // pieces]
        total = x.dtype.type(0)
        for i in range(values.size):
            total += values[i]
        partial[k] = total


def channel_dot(a: Array, b: Array, out: Array) -> None:
    _sum(_row_dots, (a, b), out)


@_summing
def _row_dots(start, stop, size, pieces, a, b, partial):
    for k in range(start, stop):
        row, piece = k // pieces, k % pieces
        first, last = row * size + size * piece // pieces, row * size + size * (piece + 1) // pieces
        left, right = a[first:last], b[first:last]
        total = a.dtype.type(0)
        for i in range(left.size):
            total += left[i] * right[i]
        partial[k] = total


def prelu_slope_grad(x: Array, dy: Array, out: Array) -> None:
    channel_dot(np.minimum(x, 0), dy, out)


def _map(function: Callable[..., None], inputs: tuple[Array, ...], vectors: tuple[Array, ...], y: Array) -> None:
    """Call ``function(start, stop, inner, *inputs, *vectors, y)`` over flat ranges; whole rows where inner is 1."""
    _, channels, inner = y.shape
    unit = channels if inner == 1 else 1
    flat, target = [array.reshape(-1) for array in inputs], y.reshape(-1)

    def part(start: int, stop: int) -> Any:
        return ((function, (start * unit, stop * unit, inner, *flat, *vectors, target)),)

    calls.run(target.size // max(unit, 1), part, max(1, _GRAIN // max(unit, 1)))


def _sum(function: Callable[..., None], inputs: tuple[Array, ...], out: Array) -> None:
    """Partial sums over pieces of each row of inner elements, then the sums of those per channel."""
    outer, channels, inner = inputs[0].shape
    if inner == 1:
        # Row sums of one element would only copy; the channels are adjacent, so NumPy adds whole rows.
        product = inputs[0] if len(inputs) == 1 else inputs[0] * inputs[1]
        out[...] = product.reshape(outer, channels).sum(axis=0)
        return
    pieces = max(1, inner // _PIECE)
    partial = np.empty((outer, channels, pieces), np.float64)
    flat, to = [array.reshape(-1) for array in inputs], partial.reshape(-1)

    def body(start: int, stop: int) -> None:
        function(start, stop, inner, pieces, *flat, to)

    parallel.run(partial.size, body, max(1, _GRAIN * pieces // max(inner, 1)))
    out[...] = partial.sum(axis=(0, 2))
