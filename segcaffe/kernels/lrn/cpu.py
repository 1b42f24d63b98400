"""LRN on the CPU.

Across channels, threads divide the pixels, in blocks that stay in the cache for all channels; within channels they
divide the channels, and sums over squares of pixels go down the columns first, then along the rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import CONTRACT, njit
from segcaffe.kernels.lrn import Response
from segcaffe.kernels.vector.vector_math import exp, log
from segcaffe.threads import calls

Array = np.ndarray[Any, Any]

_BLOCK = 512
"""Pixels of which all channels are worked on together."""


def forward(bottom: Array, scale: Array, top: Array, response: Response) -> None:
    _run(_across_forward if response.across else _within_forward, response, bottom, scale, top)


def backward(bottom: Array, scale: Array, top: Array, top_grad: Array, bottom_grad: Array, response: Response) -> None:
    compiled = _across_backward if response.across else _within_backward
    _run(compiled, response, bottom, scale, top, top_grad, bottom_grad)


def _run(compiled: Any, response: Response, *arrays: Array) -> None:
    n, channels, height, width = arrays[0].shape
    numbers = [arrays[0].dtype.type(value) for value in (response.alpha, response.beta, response.k)]
    if response.across:
        views = [array.reshape(n, channels, height * width) for array in arrays]
        count = n * (-(-height * width // _BLOCK))
    else:
        views = [array.reshape(n * channels, height, width) for array in arrays]
        count = n * channels
    calls.run(count, lambda start, stop: ((compiled, (*views, response.size, *numbers, start, stop)),))


@njit(nogil=True, cache=True)
def _block(index, pixels):
    """The image of a block of pixels, and the range of pixels."""
    blocks = (pixels + _BLOCK - 1) // _BLOCK
    return index // blocks, index % blocks * _BLOCK, min(pixels, (index % blocks + 1) * _BLOCK)


@njit(nogil=True, cache=True, fastmath=CONTRACT, error_model="numpy")
def _normalize(x, scale, beta, out):
    if beta == 0.75:
        # The usual exponent: two roots take a third of the time.
        for i in range(x.size):
            root = np.sqrt(scale[i])
            out[i] = x[i] / (root * np.sqrt(root))
        return
    for i in range(x.size):
        out[i] = x[i] * exp(-beta * log(scale[i]))


@njit(nogil=True, cache=True, fastmath=CONTRACT, error_model="numpy")
def _gradient(x, scale, dy, sums, factor, beta, out):
    for i in range(x.size):
        out[i] = dy[i] * exp(-beta * log(scale[i])) - factor * x[i] * sums[i]


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _add_squares(x, factor, out):
    for i in range(x.size):
        out[i] += factor * x[i] * x[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _ratios(dy, y, scale, out):
    for i in range(dy.size):
        out[i] = dy[i] * y[i] / scale[i]


@njit(nogil=True, cache=True)
def _add(x, out):
    for i in range(x.size):
        out[i] += x[i]


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _sum_of_five(a, b, c, d, e, k, out):
    for i in range(out.size):
        out[i] = k + a[i] + b[i] + c[i] + d[i] + e[i]


@njit(nogil=True, cache=True)
def _across_forward(bottom, scale, top, size, alpha, beta, k, start, stop):
    channels, pixels = bottom.shape[1:]
    factor, reach = bottom.dtype.type(alpha / size), size // 2
    # The squares of a block's channels, between those of channels that do not exist.
    squares = np.zeros((channels + 2 * reach, _BLOCK), bottom.dtype)
    for index in range(start, stop):
        n, first, last = _block(index, pixels)
        for c in range(channels):
            row = squares[c + reach, : last - first]
            row[:] = 0
            _add_squares(bottom[n, c, first:last], factor, row)
        for c in range(channels):
            sums = scale[n, c, first:last]
            if size == 5:
                _sum_of_five(squares[c], squares[c + 1], squares[c + 2], squares[c + 3], squares[c + 4], k, sums)
            else:
                sums[:] = k
                for i in range(c, c + size):
                    _add(squares[i, : last - first], sums)
            _normalize(bottom[n, c, first:last], sums, beta, top[n, c, first:last])


@njit(nogil=True, cache=True)
def _across_backward(bottom, scale, top, top_grad, bottom_grad, size, alpha, beta, k, start, stop):
    channels, pixels = bottom.shape[1:]
    factor = bottom.dtype.type(2 * alpha * beta / size)
    ratios = np.empty((channels, _BLOCK), bottom.dtype)
    sums = np.empty(_BLOCK, bottom.dtype)
    for index in range(start, stop):
        n, first, last = _block(index, pixels)
        for c in range(channels):
            _ratios(top_grad[n, c, first:last], top[n, c, first:last], scale[n, c, first:last], ratios[c])
        for c in range(channels):
            sums[:] = 0
            for i in range(max(0, c - size // 2), min(channels, c + size // 2 + 1)):
                _add(ratios[i], sums)
            x, dy, dx = bottom[n, c, first:last], top_grad[n, c, first:last], bottom_grad[n, c, first:last]
            _gradient(x, scale[n, c, first:last], dy, sums, factor, beta, dx)


@njit(nogil=True, cache=True)
def _box_row(values, y, radius, columns, out):
    """Sums over the square of pixels around each pixel of row y; ``columns`` is scratch, ``radius`` wider each way."""
    height, width = values.shape
    columns[:] = 0
    for row in range(max(0, y - radius), min(height, y + radius + 1)):
        _add(values[row], columns[radius : radius + width])
    out[:] = 0
    for i in range(2 * radius + 1):
        _add(columns[i : i + width], out)


@njit(nogil=True, cache=True)
def _within_forward(bottom, scale, top, size, alpha, beta, k, start, stop):
    _, height, width = bottom.shape
    squares, columns = np.empty((height, width), bottom.dtype), np.empty(width + size, bottom.dtype)
    factor = bottom.dtype.type(alpha / (size * size))
    for plane in range(start, stop):
        squares[:] = 0
        for y in range(height):
            _add_squares(bottom[plane, y], factor, squares[y])
        for y in range(height):
            sums = scale[plane, y]
            _box_row(squares, y, size // 2, columns, sums)
            for x in range(width):
                sums[x] += k
            _normalize(bottom[plane, y], sums, beta, top[plane, y])


@njit(nogil=True, cache=True)
def _within_backward(bottom, scale, top, top_grad, bottom_grad, size, alpha, beta, k, start, stop):
    _, height, width = bottom.shape
    ratios, columns = np.empty((height, width), bottom.dtype), np.empty(width + size, bottom.dtype)
    sums = np.empty(width, bottom.dtype)
    factor = bottom.dtype.type(2 * alpha * beta / (size * size))
    for plane in range(start, stop):
        for y in range(height):
            _ratios(top_grad[plane, y], top[plane, y], scale[plane, y], ratios[y])
        for y in range(height):
            _box_row(ratios, y, size // 2, columns, sums)
            _gradient(bottom[plane, y], scale[plane, y], top_grad[plane, y], sums, factor, beta, bottom_grad[plane, y])
