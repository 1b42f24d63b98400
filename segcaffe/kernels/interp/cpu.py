"""Interp on the CPU: each input row is stretched once and blended with its neighbour for all rows between them.

Threads divide the channels. The steps along a row need neighbours at places that a table gives (gathers); those
between rows are plain vector code, so stretching comes first, on the fewer rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import CONTRACT, njit
from segcaffe.threads import calls

Array = np.ndarray[Any, Any]

_GRAIN = 50_000


def _run(compiled: Any, source: Array, out: Array, *tables: Array) -> None:
    planes, out_planes = (array.reshape(-1, *array.shape[2:]) for array in (source, out))
    largest = max(planes.shape[1] * planes.shape[2], out_planes.shape[1] * out_planes.shape[2], 1)
    part = lambda start, stop: ((compiled, (planes, out_planes, *tables, start, stop)),)  # noqa: E731
    calls.run(len(planes), part, 1 + _GRAIN // largest)


def forward(image: Array, top: Array, low_y: Array, weight_y: Array, low_x: Array, weight_x: Array) -> None:
    _run(_forward, image, top, low_y, weight_y, low_x, weight_x)


def backward(top_grad: Array, image_grad: Array, low_y: Array, weight_y: Array, low_x: Array, weight_x: Array) -> None:
    _run(_backward, top_grad, image_grad, low_y, weight_y, low_x, weight_x)


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _stretch(row, low, weight, out):
    # Unsigned: places that may be negative would be checked for Python's wrap-around, one by one.
    one, last = np.uint32(1), np.uint32(row.size - 1)
    for x in range(out.size):
        i = np.uint32(low[x])
        a = row[i]
        out[x] = a + (row[min(np.uint32(i + one), last)] - a) * weight[x]


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _blend(upper, lower, weight, out):
    for x in range(out.size):
        out[x] = upper[x] + (lower[x] - upper[x]) * weight


@njit(nogil=True, cache=True)
def _forward(image, top, low_y, weight_y, low_x, weight_x, start, stop):
    width = top.shape[2]
    buffers = np.empty((2, width), image.dtype)
    for plane in range(start, stop):
        held, upper, lower, have_lower = -2, 0, 1, False
        for oy in range(top.shape[1]):
            y = low_y[oy]
            # The buffers hold the stretched rows y and, once needed, y + 1.
            if y != held:
                if y == held + 1 and have_lower:
                    upper, lower = lower, upper
                else:
                    _stretch(image[plane, y], low_x, weight_x, buffers[upper])
                held, have_lower = y, False
            if weight_y[oy] == 0:
                top[plane, oy] = buffers[upper]
                continue
            if not have_lower:
                _stretch(image[plane, min(y + 1, image.shape[1] - 1)], low_x, weight_x, buffers[lower])
                have_lower = True
            _blend(buffers[upper], buffers[lower], image.dtype.type(weight_y[oy]), top[plane, oy])


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _add_weighted(source, weight, out):
    for x in range(out.size):
        out[x] += source[x] * weight


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _shrink(source, low, weight, out):
    """Add a stretched row's gradient to the row it came from."""
    one, last = np.uint32(1), np.uint32(out.size - 1)
    for x in range(source.size):
        i = np.uint32(low[x])
        right = source[x] * weight[x]
        out[i] += source[x] - right
        out[min(np.uint32(i + one), last)] += right


@njit(nogil=True, cache=True)
def _backward(top_grad, image_grad, low_y, weight_y, low_x, weight_x, start, stop):
    rows, last = top_grad.shape[1], image_grad.shape[1] - 1
    one = top_grad.dtype.type(1)
    buffers = np.empty((2, top_grad.shape[2]), top_grad.dtype)
    for plane in range(start, stop):
        image_grad[plane] = 0
        buffers[:] = 0
        upper, lower, used = 0, 1, False
        for oy in range(rows):
            y, weight = low_y[oy], top_grad.dtype.type(weight_y[oy])
            _add_weighted(top_grad[plane, oy], one - weight, buffers[upper])
            if weight > 0:
                _add_weighted(top_grad[plane, oy], weight, buffers[lower])
                used = True
            following = low_y[oy + 1] if oy + 1 < rows else -1
            if following == y:
                continue
            _shrink(buffers[upper], low_x, weight_x, image_grad[plane, y])
            buffers[upper] = 0
            if following == y + 1:
                upper, lower = lower, upper
            elif used:
                _shrink(buffers[lower], low_x, weight_x, image_grad[plane, min(y + 1, last)])
                buffers[lower] = 0
            used = False
