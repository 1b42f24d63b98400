"""Pooling over regions on the CPU: regions are divided among threads; their gradients channel by channel.

Maxima and samples see the maps with channels last, so that what is done for a pixel is done for a vector of channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.copy import cpu as copies
from segcaffe.kernels.vector.scratch import scratch
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
Body = Callable[[int, int], None]
_GRAIN = 30_000
_BLOCK = 128
"""Channels that are pooled together: so many that caches hold all their bins."""
_compiled = njit(nogil=True, cache=True)


def max_forward(x: Array, item: Array, rows: Array, columns: Array, y: Array, place: Array) -> None:
    maps = _channels_last(x)
    _over_blocks(lambda start, stop: _max_forward(maps, item, rows, columns, y, place, start, stop), y)


def max_backward(dy: Array, item: Array, place: Array, dx: Array) -> None:
    flat = dx.reshape(*dx.shape[:2], dx.shape[2] * dx.shape[3])
    body = lambda start, stop: _max_backward(dy, item, place, flat, start, stop)  # noqa: E731
    _over_channels(body, dx.shape[1], dy.size + dx.size)


def mean_forward(x: Array, item: Array, rows: Array, columns: Array, y: Array) -> None:
    _, channels, high, wide = y.shape
    bins = _channels_last(x.reshape(x.shape[0], channels, high * wide, *x.shape[2:]))
    body = lambda start, stop: _mean_forward(bins, item, rows, columns, y, start, stop)  # noqa: E731
    parallel.run(y.shape[0] * high, body, max(1, _GRAIN // max(1, 20 * channels * wide)))


def mean_backward(dy: Array, item: Array, rows: Array, columns: Array, dx: Array) -> None:
    body = lambda start, stop: _mean_backward(dy, item, rows, columns, dx, start, stop)  # noqa: E731
    _over_channels(body, dy.shape[1], dy.size + dx.size)


def sample_forward(x: Array, item: Array, low: Array, weight: Array, y: Array) -> None:
    maps = _channels_last(x)
    _over_blocks(lambda start, stop: _sample_forward(maps, item, low, weight, y, start, stop), y)


def sample_backward(dy: Array, item: Array, low: Array, weight: Array, dx: Array) -> None:
    body = lambda start, stop: _sample_backward(dy, item, low, weight, dx, start, stop)  # noqa: E731
    _over_channels(body, dx.shape[1], 16 * dy.size + dx.size)


def _channels_last(x: Array) -> Array:
    """A copy of images (N, C, ..., H, W) as (N, H, W, ..., C), in scratch memory."""
    turned = x.transpose(0, -2, -1, *range(2, x.ndim - 2), 1)
    maps: Array = scratch("region_maps", x.size, x.dtype).reshape(turned.shape)
    copies.copy(turned, maps)
    return maps


def _over_blocks(body: Body, y: Array) -> None:
    """Divide the blocks of channels of all regions."""
    blocks = y.shape[0] * -(-y.shape[1] // _BLOCK)
    parallel.run(blocks, body, max(1, _GRAIN // max(1, 2 * _BLOCK * y.shape[2] * y.shape[3])))


def _over_channels(body: Body, channels: int, work: int) -> None:
    parallel.run(channels, body, max(1, _GRAIN * channels // max(1, work)))


@_compiled
def _block(k, channels):
    """Region, first channel and number of channels of block k."""
    blocks = -(-channels // _BLOCK)
    first = k % blocks * _BLOCK
    return k // blocks, first, min(_BLOCK, channels - first)


@_compiled
def _unfold(bins, out):
    """Write values (bins, channels) as (channels, bins)."""
    for c in range(out.shape[0]):
        for p in range(out.shape[1]):
            for q in range(out.shape[2]):
                out[c, p, q] = bins[p * out.shape[2] + q, c]


@_compiled
def _raise_to(values, at, best, where):
    """Take the values that are higher than the best so far."""
    for c in range(values.size):
        value, held, held_place = values[c], best[c], where[c]
        higher = value > held
        best[c] = value if higher else held
        where[c] = at if higher else held_place


@_compiled
def _max_forward(maps, item, rows, columns, y, place, start, stop):
    width, channels = maps.shape[2], maps.shape[3]
    high, wide = rows.shape[1], columns.shape[1]
    best, where = np.empty((high * wide, _BLOCK), y.dtype), np.empty((high * wide, _BLOCK), np.int32)
    for k in range(start, stop):
        r, first, count = _block(k, channels)
        image = maps[item[r]]
        for p in range(high):
            for q in range(wide):
                high_here, where_here = best[p * wide + q, :count], where[p * wide + q, :count]
                top, left = rows[r, p, 0], columns[r, q, 0]
                if top >= rows[r, p, 1] or left >= columns[r, q, 1]:
                    high_here[:] = 0
                    where_here[:] = -1
                    continue
                high_here[:] = image[top, left, first : first + count]
                where_here[:] = top * width + left
                for i in range(top, rows[r, p, 1]):
                    for j in range(left, columns[r, q, 1]):
                        _raise_to(image[i, j, first : first + count], np.int32(i * width + j), high_here, where_here)
        _unfold(best, y[r, first : first + count])
        _unfold(where, place[r, first : first + count])


@_compiled
def _max_backward(dy, item, place, dx, start, stop):
    for c in range(start, stop):
        dx[:, c] = 0
        for r in range(dy.shape[0]):
            plane = dx[item[r], c]
            for p in range(dy.shape[2]):
                for q in range(dy.shape[3]):
                    if place[r, c, p, q] >= 0:
                        plane[place[r, c, p, q]] += dy[r, c, p, q]


@_compiled
def _mean_forward(bins, item, rows, columns, y, start, stop):
    channels, high, wide = y.shape[1:]
    totals = np.empty(channels, y.dtype)
    for k in range(start, stop):
        r, p = k // high, k % high
        image = bins[item[r]]
        first, last = rows[r, p]
        for q in range(wide):
            left, right = columns[r, q]
            totals[:] = 0
            for i in range(first, last):
                for j in range(left, right):
                    _add(image[i, j, p * wide + q], totals)
            count = max(max(last - first, 0) * max(right - left, 0), 1)
            for c in range(channels):
                y[r, c, p, q] = totals[c] / y.dtype.type(count)


@_compiled
def _add(values, totals):
    for c in range(totals.size):
        totals[c] += values[c]


@_compiled
def _mean_backward(dy, item, rows, columns, dx, start, stop):
    bins = rows.shape[1] * columns.shape[1]
    for c in range(start, stop):
        dx[:, c * bins : (c + 1) * bins] = 0
        for r in range(dy.shape[0]):
            for p in range(rows.shape[1]):
                for q in range(columns.shape[1]):
                    plane = dx[item[r], c * bins + p * columns.shape[1] + q]
                    count = (rows[r, p, 1] - rows[r, p, 0]) * (columns[r, q, 1] - columns[r, q, 0])
                    share = dy[r, c, p, q] / dx.dtype.type(max(count, 1))
                    for i in range(rows[r, p, 0], rows[r, p, 1]):
                        for j in range(columns[r, q, 0], columns[r, q, 1]):
                            plane[i, j] += share


@_compiled
def _add_sample(above, above_right, below, below_right, place, total):
    """Add to each channel's total what lies between four pixels, ``place`` being how far across and how far down."""
    across, down = place
    for c in range(total.size):
        upper = above[c] + (above_right[c] - above[c]) * across
        lower = below[c] + (below_right[c] - below[c]) * across
        total[c] += upper + (lower - upper) * down


@_compiled
def _sample_forward(maps, item, low, weight, y, start, stop):
    height, width, channels = maps.shape[1:]
    high, wide = y.shape[2:]
    samples = low.shape[1] // (high + wide)
    totals = np.empty((high * wide, _BLOCK), y.dtype)
    for k in range(start, stop):
        r, first, count = _block(k, channels)
        image, last = maps[item[r]], first + count
        totals[:] = 0
        for p in range(high):
            for q in range(wide):
                total = totals[p * wide + q, :count]
                for s in range(p * samples, (p + 1) * samples):
                    i, b = low[r, s], weight[r, s]
                    below = min(i + 1, height - 1)
                    for t in range((high + q) * samples, (high + q + 1) * samples):
                        j, a = low[r, t], weight[r, t]
                        if i < 0 or j < 0:
                            continue
                        right = min(j + 1, width - 1)
                        _add_sample(
                            image[i, j, first:last], image[i, right, first:last],
                            image[below, j, first:last], image[below, right, first:last], (a, b), total,
                        )  # fmt: skip
                for c in range(count):
                    total[c] /= y.dtype.type(samples * samples)
        _unfold(totals, y[r, first : first + count])


@_compiled
def _sample_backward(dy, item, low, weight, dx, start, stop):
    height, width = dx.shape[2], dx.shape[3]
    _, _, high, wide = dy.shape
    samples = low.shape[1] // (high + wide)
    one = dx.dtype.type(1)
    for c in range(start, stop):
        dx[:, c] = 0
        for r in range(dy.shape[0]):
            plane = dx[item[r], c]
            for p in range(high):
                for q in range(wide):
                    share = dy[r, c, p, q] / dx.dtype.type(samples * samples)
                    for s in range(p * samples, (p + 1) * samples):
                        i0, b = low[r, s], weight[r, s]
                        i1 = min(i0 + 1, height - 1)
                        for t in range((high + q) * samples, (high + q + 1) * samples):
                            j0, a = low[r, t], weight[r, t]
                            if i0 < 0 or j0 < 0:
                                continue
                            j1 = min(j0 + 1, width - 1)
                            plane[i0, j0] += share * (one - b) * (one - a)
                            plane[i0, j1] += share * (one - b) * a
                            plane[i1, j0] += share * b * (one - a)
                            plane[i1, j1] += share * b * a
