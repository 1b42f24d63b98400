"""Weighted windows and their convolution on the CPU.

Every inner loop runs along a row of pixels, on slices that start at the first pixel whose neighbour is inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import FAST, njit
from segcaffe.kernels.vector.blas import gemm
from segcaffe.kernels.vector.vector_math import exp
from segcaffe.threads import parallel
from segcaffe.window import Window

Array = np.ndarray[Any, Any]

_FARTHEST = float(np.finfo(np.float32).max) / 4
"""The largest argument of the softmax: differences of two of them must not overflow."""
_COLUMN_BLOCK = 1 << 16
"""Numbers in a block of columns: half the L2 cache or less in float32."""


def softmax(distances: Array, scale: float) -> None:
    factor = distances.dtype.type(-scale)
    rows = distances.shape[0] * distances.shape[2]
    parallel.run(rows, lambda a, b: _softmax(distances, factor, a, b), grain=4)


def softmax_backward(weights: Array, weight_grad: Array, factor: float) -> None:
    rows, scaled = weights.shape[0] * weights.shape[2], weights.dtype.type(factor)
    parallel.run(rows, lambda a, b: _softmax_backward(weights, weight_grad, scaled, a, b), grain=8)


def convolve(x: Array, weights: Array, filters: Array, out: Array, window: Window) -> None:
    matrix, flat = filters.reshape(len(filters), -1), _flat(out)
    width = _block_width(matrix.shape[1])
    blocks = -(-flat.shape[2] // width)
    geometry = geometry_of(window)
    parallel.run(
        len(x) * blocks, lambda a, b: _convolve(x, weights, matrix, flat, geometry, width, blocks, a, b), grain=1
    )


def convolve_backward(
    x: Array,
    weights: Array,
    filters: Array,
    out_grad: Array,
    x_grad: Array | None,
    filters_grad: Array | None,
    window: Window,
) -> None:
    matrix, flat = filters.reshape(len(filters), -1), _flat(out_grad)
    to_x, to_filters = x_grad is not None, filters_grad is not None
    # The compiled function takes arrays only: those not wanted are replaced by ones that are not written.
    dx = x_grad if x_grad is not None else x
    dw = filters_grad.reshape(matrix.shape) if filters_grad is not None else matrix
    if x_grad is not None:
        x_grad.fill(0)
    step = _channel_step(filters.shape[1])
    units = (x.shape[1] // filters.shape[1]) * -(-filters.shape[1] // step)
    geometry = geometry_of(window)
    parallel.run(
        units,
        lambda a, b: _convolve_backward(x, weights, matrix, flat, dx, dw, to_x, to_filters, geometry, step, a, b),
    )


def convolve_backward_weights(x: Array, filters: Array, out_grad: Array, weight_grad: Array, window: Window) -> None:
    matrix, flat = filters.reshape(len(filters), -1), _flat(out_grad)
    step = _channel_step(filters.shape[1])
    width = _block_width(step * window.taps)
    blocks = -(-flat.shape[2] // width)
    geometry = geometry_of(window)
    weight_grad.fill(0)
    parallel.run(
        len(x) * blocks,
        lambda a, b: _convolve_backward_weights(x, matrix, flat, weight_grad, geometry, step, width, blocks, a, b),
    )


def _flat(image: Array) -> Array:
    """View (N, C, H, W) as (N, C, H · W), also where N is 0."""
    return image.reshape(*image.shape[:2], image.shape[2] * image.shape[3])


def geometry_of(window: Window) -> tuple[int, ...]:
    """Return the window as compiled functions take it: kernel, stride, pad, dilation, each (height, width)."""
    return (*window.kernel, *window.stride, *window.pad, *window.dilation)


def _block_width(rows: int) -> int:
    """Return how many window positions make a block of columns with so many rows."""
    return max(32, _COLUMN_BLOCK // rows)


def _channel_step(channels: int) -> int:
    """Return how many of a group's channels make a unit of work; it depends on shapes only, never on threads."""
    return max(1, -(-channels // 8))


@njit(nogil=True, cache=True)
def inside(size, count, stride, offset):
    """The range of positions i < count whose pixel i * stride + offset is one of ``size``."""
    first = (max(0, -offset) + stride - 1) // stride
    last = (size - 1 - offset) // stride
    return first, max(first, min(count, last + 1))


@njit(nogil=True, cache=True)
def tap_offset(geometry, tap):
    """Row and column of a tap from the window's start, less the padding."""
    return (tap // geometry[1]) * geometry[6] - geometry[4], (tap % geometry[1]) * geometry[7] - geometry[5]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _softmax(weights, factor, start, stop):
    """Rows start..stop of window positions, counted over all images."""
    taps, rows, columns = weights.shape[1:]
    top = np.empty(columns, weights.dtype)
    total = np.empty(columns, weights.dtype)
    low, high = weights.dtype.type(-_FARTHEST), weights.dtype.type(_FARTHEST)
    for index in range(start, stop):
        n, y = index // rows, index % rows
        top[:] = low
        total[:] = 0
        for tap in range(taps):
            row = weights[n, tap, y]
            for i in range(columns):
                # The comparisons are put so that a NaN passes them.
                x = row[i] * factor
                x = low if x < low else x
                x = high if x > high else x
                row[i] = x
                top[i] = top[i] if x <= top[i] else x
        for tap in range(taps):
            row = weights[n, tap, y]
            for i in range(columns):
                row[i] = exp(row[i] - top[i])
                total[i] += row[i]
        for i in range(columns):
            total[i] = 1 / total[i]
        for tap in range(taps):
            row = weights[n, tap, y]
            for i in range(columns):
                row[i] *= total[i]


@njit(nogil=True, cache=True, fastmath=FAST)
def _softmax_backward(weights, grad, factor, start, stop):
    taps, rows, columns = weights.shape[1:]
    for index in range(start, stop):
        n, y = index // rows, index % rows
        dot = np.zeros(columns, weights.dtype)
        for tap in range(taps):
            w, g = weights[n, tap, y], grad[n, tap, y]
            for i in range(columns):
                dot[i] += w[i] * g[i]
        for tap in range(taps):
            w, g = weights[n, tap, y], grad[n, tap, y]
            for i in range(columns):
                g[i] = factor * w[i] * (g[i] - dot[i])


@njit(nogil=True, cache=True)
def _columns(x, weights, geometry, c0, c1, p0, p1, weighted, out):
    """out[(c - c0) * T + t, p - p0] = pixel at tap t of window p, times the tap's weight with ``weighted``."""
    taps, columns = weights.shape[0], weights.shape[2]
    height, width = x.shape[1:]
    sy, sx = geometry[2], geometry[3]
    for c in range(c0, c1):
        for tap in range(taps):
            ty, tx = tap_offset(geometry, tap)
            line = out[(c - c0) * taps + tap]
            line[: p1 - p0] = 0
            i0, i1 = inside(width, columns, sx, tx)
            for y in range(p0 // columns, (p1 - 1) // columns + 1):
                a, b = max(i0, p0 - y * columns), min(i1, p1 - y * columns)
                ny = y * sy + ty
                if ny < 0 or ny >= height or a >= b:
                    continue
                at = y * columns + a - p0
                target, mask = line[at : at + b - a], weights[tap, y, a:b]
                if sx == 1:
                    pixels = x[c, ny, a + tx : b + tx]
                    for i in range(b - a):
                        target[i] = pixels[i] * mask[i] if weighted else pixels[i]
                else:
                    for i in range(b - a):
                        pixel = x[c, ny, (a + i) * sx + tx]
                        target[i] = pixel * mask[i] if weighted else pixel


@njit(nogil=True, cache=True)
def _add_columns(columns_grad, weights, geometry, c0, c1, p0, p1, x_grad):
    """Add each column's gradient times the tap's weight to the pixel it came from."""
    taps, columns = weights.shape[0], weights.shape[2]
    height, width = x_grad.shape[1:]
    sy, sx = geometry[2], geometry[3]
    for c in range(c0, c1):
        for tap in range(taps):
            ty, tx = tap_offset(geometry, tap)
            line = columns_grad[(c - c0) * taps + tap]
            i0, i1 = inside(width, columns, sx, tx)
            for y in range(p0 // columns, (p1 - 1) // columns + 1):
                a, b = max(i0, p0 - y * columns), min(i1, p1 - y * columns)
                ny = y * sy + ty
                if ny < 0 or ny >= height or a >= b:
                    continue
                at = y * columns + a - p0
                source, mask = line[at : at + b - a], weights[tap, y, a:b]
                if sx == 1:
                    target = x_grad[c, ny, a + tx : b + tx]
                    for i in range(b - a):
                        target[i] += source[i] * mask[i]
                else:
                    for i in range(b - a):
                        x_grad[c, ny, (a + i) * sx + tx] += source[i] * mask[i]


@njit(nogil=True, cache=True)
def _convolve(x, weights, filters, out, geometry, width, blocks, start, stop):
    """Blocks start..stop of window positions, counted over all images. ``filters`` is (K, C / groups * T)."""
    outputs, depth = filters.shape
    taps, positions = weights.shape[1], out.shape[2]
    channels = depth // taps
    groups = x.shape[1] // channels
    each = outputs // groups
    block = np.empty((depth, width), x.dtype)
    for index in range(start, stop):
        n, p0 = index // blocks, (index % blocks) * width
        p1 = min(positions, p0 + width)
        for g in range(groups):
            _columns(x[n], weights[n], geometry, g * channels, (g + 1) * channels, p0, p1, True, block)
            k = g * each
            target, sizes = out[n, k, p0:], (each, p1 - p0, depth)
            gemm((False, False), sizes, (1.0, 0.0), filters[k], depth, block, width, target, positions)


@njit(nogil=True, cache=True)
def _convolve_backward(
    x, weights, filters, out_grad, x_grad, filters_grad, to_x, to_filters, geometry, step, start, stop
):
    """Units start..stop: ``step`` channels of one group, in all images, so that no two threads add to one place."""
    outputs, depth = filters.shape
    taps, positions = weights.shape[1], out_grad.shape[2]
    channels = depth // taps
    each = outputs // (x.shape[1] // channels)
    units = -(-channels // step)
    width = max(32, _COLUMN_BLOCK // (step * taps))
    block = np.empty((step * taps, width), x.dtype)
    for index in range(start, stop):
        g, f0 = index // units, (index % units) * step
        f1, k = min(channels, f0 + step), g * each
        c0, c1, m = g * channels + f0, g * channels + f1, (f1 - f0) * taps
        for n in range(len(x)):
            for p0 in range(0, positions, width):
                p1 = min(positions, p0 + width)
                top = out_grad[n, k, p0:]
                if to_filters:
                    _columns(x[n], weights[n], geometry, c0, c1, p0, p1, True, block)
                    target = filters_grad[k, f0 * taps :]
                    sizes = each, m, p1 - p0
                    gemm((False, True), sizes, (1.0, 1.0), top, positions, block, width, target, depth)
                if to_x:
                    source, sizes = filters[k, f0 * taps :], (m, p1 - p0, each)
                    gemm((True, False), sizes, (1.0, 0.0), source, depth, top, positions, block, width)
                    _add_columns(block, weights[n], geometry, c0, c1, p0, p1, x_grad[n])


@njit(nogil=True, cache=True)
def _convolve_backward_weights(x, filters, out_grad, weight_grad, geometry, step, width, blocks, start, stop):
    """Blocks start..stop of window positions, counted over all images."""
    outputs, depth = filters.shape
    taps, positions = weight_grad.shape[1], out_grad.shape[2]
    channels = depth // taps
    each = outputs // (x.shape[1] // channels)
    units = -(-channels // step)
    block = np.empty((step * taps, width), x.dtype)
    pixels = np.empty((step * taps, width), x.dtype)
    flat = weight_grad.reshape(len(x), taps, positions)
    for index in range(start, stop):
        n, p0 = index // blocks, (index % blocks) * width
        p1 = min(positions, p0 + width)
        for unit in range((x.shape[1] // channels) * units):
            g, f0 = unit // units, (unit % units) * step
            c0, c1, k = g * channels + f0, g * channels + min(channels, f0 + step), g * each
            m = (c1 - c0) * taps
            source = filters[k, f0 * taps :]
            top = out_grad[n, k, p0:]
            gemm((True, False), (m, p1 - p0, each), (1.0, 0.0), source, depth, top, positions, block, width)
            _columns(x[n], weight_grad[n], geometry, c0, c1, p0, p1, False, pixels)
            for j in range(m):
                target = flat[n, j % taps, p0:p1]
                for i in range(p1 - p0):
                    target[i] += block[j, i] * pixels[j, i]
