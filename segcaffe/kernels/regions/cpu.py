"""Pooling over regions on the CPU: regions are divided among threads; their gradients channel by channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
_GRAIN = 30_000
_compiled = njit(nogil=True, cache=True)


def max_forward(x: Array, item: Array, rows: Array, columns: Array, y: Array, place: Array) -> None:
    body = lambda start, stop: _max_forward(x, item, rows, columns, y, place, start, stop)  # noqa: E731
    _over_regions(body, y)


def max_backward(dy: Array, item: Array, place: Array, dx: Array) -> None:
    flat = dx.reshape(*dx.shape[:2], dx.shape[2] * dx.shape[3])
    body = lambda start, stop: _max_backward(dy, item, place, flat, start, stop)  # noqa: E731
    _over_channels(body, dx.shape[1], dy.size + dx.size)


def mean_forward(x: Array, item: Array, rows: Array, columns: Array, y: Array) -> None:
    body = lambda start, stop: _mean_forward(x, item, rows, columns, y, start, stop)  # noqa: E731
    _over_regions(body, y)


def mean_backward(dy: Array, item: Array, rows: Array, columns: Array, dx: Array) -> None:
    body = lambda start, stop: _mean_backward(dy, item, rows, columns, dx, start, stop)  # noqa: E731
    _over_channels(body, dy.shape[1], dy.size + dx.size)


def sample_forward(x: Array, item: Array, low: Array, weight: Array, y: Array) -> None:
    body = lambda start, stop: _sample_forward(x, item, low, weight, y, start, stop)  # noqa: E731
    _over_regions(body, y)


def sample_backward(dy: Array, item: Array, low: Array, weight: Array, dx: Array) -> None:
    body = lambda start, stop: _sample_backward(dy, item, low, weight, dx, start, stop)  # noqa: E731
    _over_channels(body, dx.shape[1], 16 * dy.size + dx.size)


def _over_regions(body: Any, y: Array) -> None:
    planes = y.shape[0] * y.shape[1]
    parallel.run(planes, body, max(1, _GRAIN // max(1, 20 * y.shape[2] * y.shape[3])))


def _over_channels(body: Any, channels: int, work: int) -> None:
    parallel.run(channels, body, max(1, _GRAIN * channels // max(1, work)))


@_compiled
def _max_forward(x, item, rows, columns, y, place, start, stop):
    channels, width = x.shape[1], x.shape[3]
    for k in range(start, stop):
        r, c = k // channels, k % channels
        plane = x[item[r], c]
        for p in range(rows.shape[1]):
            for q in range(columns.shape[1]):
                best, where = x.dtype.type(0), -1
                for i in range(rows[r, p, 0], rows[r, p, 1]):
                    for j in range(columns[r, q, 0], columns[r, q, 1]):
                        if where < 0 or plane[i, j] > best:
                            best, where = plane[i, j], i * width + j
                y[r, c, p, q], place[r, c, p, q] = best, where


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
def _mean_forward(x, item, rows, columns, y, start, stop):
    channels = y.shape[1]
    for k in range(start, stop):
        r, c = k // channels, k % channels
        for p in range(rows.shape[1]):
            for q in range(columns.shape[1]):
                plane = x[item[r], (c * rows.shape[1] + p) * columns.shape[1] + q]
                total, count = x.dtype.type(0), 0
                for i in range(rows[r, p, 0], rows[r, p, 1]):
                    for j in range(columns[r, q, 0], columns[r, q, 1]):
                        total += plane[i, j]
                        count += 1
                y[r, c, p, q] = total / x.dtype.type(max(count, 1))


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
def _sample_forward(x, item, low, weight, y, start, stop):
    channels, height, width = x.shape[1], x.shape[2], x.shape[3]
    _, _, high, wide = y.shape
    samples = low.shape[1] // (high + wide)
    for k in range(start, stop):
        r, c = k // channels, k % channels
        plane = x[item[r], c]
        for p in range(high):
            for q in range(wide):
                total = x.dtype.type(0)
                for s in range(p * samples, (p + 1) * samples):
                    i0, b = low[r, s], weight[r, s]
                    i1 = min(i0 + 1, height - 1)
                    for t in range((high + q) * samples, (high + q + 1) * samples):
                        j0, a = low[r, t], weight[r, t]
                        if i0 < 0 or j0 < 0:
                            continue
                        j1 = min(j0 + 1, width - 1)
                        above = plane[i0, j0] + (plane[i0, j1] - plane[i0, j0]) * a
                        below = plane[i1, j0] + (plane[i1, j1] - plane[i1, j0]) * a
                        total += above + (below - above) * b
                y[r, c, p, q] = total / x.dtype.type(samples * samples)


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
