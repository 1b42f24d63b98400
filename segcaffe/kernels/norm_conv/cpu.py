"""Windows weighted by a softmax of embedding distances, on the CPU.

Every inner loop runs along a row of pixels, on slices that start at the first pixel whose neighbour is inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from segcaffe.kernels import parallel
from segcaffe.kernels.blas import gemm
from segcaffe.kernels.vector_math import exp
from segcaffe.proto.window import Window

Array = np.ndarray[Any, Any]

REMOVED = float(np.finfo(np.float32).max) / 100
"""The distance of a removed neighbour."""
_FARTHEST = float(np.finfo(np.float32).max) / 4
"""The largest argument of the softmax: differences of two of them must not overflow."""
FAST = {"reassoc", "contract", "arcp", "nsz"}
"""Sums may be reordered; NaN and infinity survive."""
_COLUMN_BLOCK = 1 << 16
"""Numbers in a block of columns: half the L2 cache or less in float32."""


def window_weights(
    guide: Array,
    weights: Array,
    window: Window,
    scale: float,
    l1: bool,
    remove_center: bool,
    remove_bounds: bool,
) -> None:
    """See the contract."""
    geometry = geometry_of(window)
    huge = weights.dtype.type(min(max(-scale * REMOVED, -_FARTHEST), _FARTHEST))
    center = huge if remove_center else weights.dtype.type(0)
    bounds = huge if remove_bounds else weights.dtype.type(0)
    num, taps, rows, _ = weights.shape
    mirror = _is_mirrored(window, guide.shape, weights.shape)
    count = taps // 2 + 1 if mirror else taps
    factor = weights.dtype.type(-scale if l1 else -0.5 * scale)
    parallel.run(
        num * rows,
        lambda a, b: _logits(guide, weights, geometry, factor, center, bounds, l1, count, mirror, a, b),
        grain=4,
    )
    parallel.run(num * rows, lambda a, b: _softmax(weights, a, b), grain=4)


def softmax_backward(weights: Array, weight_grad: Array) -> None:
    """See the contract."""
    parallel.run(
        weights.shape[0] * weights.shape[2], lambda a, b: _softmax_backward(weights, weight_grad, a, b), grain=8
    )


def distances_backward(
    guide: Array, distance_grad: Array, guide_grad: Array, window: Window, l1: bool, factor: float
) -> None:
    """See the contract."""
    channels = guide.shape[0] * guide.shape[1]
    geometry, scaled = geometry_of(window), guide.dtype.type(factor)
    mirror = _is_mirrored(window, guide.shape, distance_grad.shape)
    guide_grad.fill(0)
    parallel.run(
        channels,
        lambda a, b: _distances_backward(guide, distance_grad, guide_grad, geometry, l1, scaled, mirror, a, b),
    )


def distances_dot(guide: Array, distance_grad: Array, total: Array, window: Window, l1: bool) -> None:
    """See the contract."""
    rows = distance_grad.shape[0] * distance_grad.shape[2]
    sums = np.zeros(rows)
    geometry = geometry_of(window)
    parallel.run(rows, lambda a, b: _distances_dot(guide, distance_grad, geometry, l1, sums, a, b), grain=4)
    total[...] = sums.sum()


def convolve(x: Array, weights: Array, filters: Array, out: Array, window: Window) -> None:
    """See the contract."""
    matrix, flat = filters.reshape(len(filters), -1), out.reshape(*out.shape[:2], -1)
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
    """See the contract."""
    matrix, flat = filters.reshape(len(filters), -1), out_grad.reshape(*out_grad.shape[:2], -1)
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
    """See the contract."""
    matrix, flat = filters.reshape(len(filters), -1), out_grad.reshape(*out_grad.shape[:2], -1)
    step = _channel_step(filters.shape[1])
    width = _block_width(step * window.taps)
    blocks = -(-flat.shape[2] // width)
    geometry = geometry_of(window)
    weight_grad.fill(0)
    parallel.run(
        len(x) * blocks,
        lambda a, b: _convolve_backward_weights(x, matrix, flat, weight_grad, geometry, step, width, blocks, a, b),
    )


def geometry_of(window: Window) -> tuple[int, ...]:
    """Return the window as compiled functions take it: kernel, stride, pad, dilation, each (height, width)."""
    return (*window.kernel, *window.stride, *window.pad, *window.dilation)


def _is_mirrored(window: Window, image: tuple[int, ...], positions: tuple[int, ...]) -> bool:
    """Return whether each pair of a centre and a neighbour occurs in both orders, at opposite taps."""
    odd = all(k % 2 == 1 for k in window.kernel)
    return odd and window.stride == (1, 1) and image[2:] == positions[2:]


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


@njit(nogil=True, cache=True)
def _centre(geometry):
    return (geometry[0] // 2) * geometry[6] - geometry[4], (geometry[1] // 2) * geometry[7] - geometry[5]


@njit(nogil=True, cache=True)
def _pairs(guide_shape, columns, geometry, tap, y):
    """Rows of the centre and of the neighbour in window row y, their column offsets, and the columns with both inside.

    The range of columns is empty where a row is outside.
    """
    cy, cx = _centre(geometry)
    ty, tx = tap_offset(geometry, tap)
    height, width = guide_shape[2], guide_shape[3]
    cy, ny = y * geometry[2] + cy, y * geometry[2] + ty
    c0, c1 = inside(width, columns, geometry[3], cx)
    n0, n1 = inside(width, columns, geometry[3], tx)
    first, last = max(c0, n0), min(c1, n1)
    if cy < 0 or cy >= height or ny < 0 or ny >= height:
        last = first
    return cy, ny, cx, tx, first, max(first, last)


@njit(nogil=True, cache=True, fastmath=FAST)
def _distance_row(guide, n, cy, ny, c, t, count, stride, l1, out):
    """out[:count] = sum over channels of squared (absolute with l1) differences; not yet halved."""
    out[:count] = 0
    channels = guide.shape[1]
    e = 0
    if stride == 1:
        while e + 4 <= channels and not l1:
            a, b = guide[n, e, cy, c : c + count], guide[n, e, ny, t : t + count]
            a1, b1 = guide[n, e + 1, cy, c : c + count], guide[n, e + 1, ny, t : t + count]
            a2, b2 = guide[n, e + 2, cy, c : c + count], guide[n, e + 2, ny, t : t + count]
            a3, b3 = guide[n, e + 3, cy, c : c + count], guide[n, e + 3, ny, t : t + count]
            for i in range(count):
                d, d1, d2, d3 = a[i] - b[i], a1[i] - b1[i], a2[i] - b2[i], a3[i] - b3[i]
                out[i] += d * d + d1 * d1 + d2 * d2 + d3 * d3
            e += 4
        while e < channels:
            a, b = guide[n, e, cy, c : c + count], guide[n, e, ny, t : t + count]
            for i in range(count):
                d = a[i] - b[i]
                out[i] += abs(d) if l1 else d * d
            e += 1
        return
    for e in range(channels):
        for i in range(count):
            d = guide[n, e, cy, c + i * stride] - guide[n, e, ny, t + i * stride]
            out[i] += abs(d) if l1 else d * d


@njit(nogil=True, cache=True)
def _logits(guide, weights, geometry, factor, center, bounds, l1, taps, mirror, start, stop):
    """Arguments of the softmax for window rows start..stop, counted over all images.

    With ``mirror`` only the taps up to the centre are computed, and each pair is stored at both of its places.
    """
    total, rows, columns = weights.shape[1:]
    height, width = guide.shape[2:]
    stride = geometry[3]
    row = np.empty(columns, guide.dtype)
    c0, c1 = inside(width, columns, stride, _centre(geometry)[1])
    for index in range(start, stop):
        n, y = index // rows, index % rows
        for tap in range(taps):
            cy, ny, cx, tx, first, last = _pairs(guide.shape, columns, geometry, tap, y)
            out = weights[n, tap, y]
            out[:] = 0
            if 0 <= cy < height:
                out[c0:c1] = bounds
            if cy == ny and cx == tx:
                out[first:last] = center
            elif last > first:
                count = last - first
                _distance_row(guide, n, cy, ny, cx + first * stride, tx + first * stride, count, stride, l1, row)
                # Element by element: assigning one array to another takes Numba seconds to compile.
                for i in range(count):
                    row[i] *= factor
                    out[first + i] = row[i]
                if mirror:
                    opposite = weights[n, total - 1 - tap, ny, tx + first : tx + last]
                    for i in range(count):
                        opposite[i] = row[i]
            if mirror:
                _mirrored_bounds(weights[n, total - 1 - tap, y], height, width, 2 * y - ny, -tx, bounds)


@njit(nogil=True, cache=True)
def _mirrored_bounds(out, height, width, ny, tx, bounds):
    """Mark where the opposite tap's neighbour, in row ny and tx columns to the right, is outside."""
    if ny < 0 or ny >= height:
        out[:] = bounds
        return
    first, last = inside(width, width, 1, tx)
    out[:first] = bounds
    out[last:] = bounds


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _softmax(weights, start, stop):
    taps, rows, columns = weights.shape[1:]
    top = np.empty(columns, weights.dtype)
    for index in range(start, stop):
        n, y = index // rows, index % rows
        top[:] = -np.inf
        for tap in range(taps):
            row = weights[n, tap, y]
            for i in range(columns):
                # The negated comparison lets a NaN through.
                top[i] = top[i] if row[i] <= top[i] else row[i]
        total = np.zeros(columns, weights.dtype)
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
def _softmax_backward(weights, grad, start, stop):
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
                g[i] = w[i] * (g[i] - dot[i])


@njit(nogil=True, cache=True)
def _difference_row(a, b, g, da, db, l1, factor):
    for i in range(len(g)):
        d = a[i] - b[i]
        step = factor * g[i] * (np.sign(d) if l1 else d)
        da[i] += step
        db[i] -= step


@njit(nogil=True, cache=True)
def _distances_backward(guide, grad, out, geometry, l1, factor, mirror, start, stop):
    """Channels start..stop, counted over all images: each is written by one thread only.

    With ``mirror`` a pair's two distances, being equal, are taken together, at the tap before the centre.
    """
    taps, rows, columns = grad.shape[1:]
    row = np.empty(columns, grad.dtype)
    channels = guide.shape[1]
    stride = geometry[3]
    for n in range(start // channels, (stop - 1) // channels + 1):
        e0, e1 = max(0, start - n * channels), min(channels, stop - n * channels)
        for y in range(rows):
            for tap in range(taps // 2 if mirror else taps):
                cy, ny, cx, tx, first, last = _pairs(guide.shape, columns, geometry, tap, y)
                if first == last or (cy == ny and cx == tx):
                    continue
                g = row[: last - first]
                for i in range(last - first):
                    g[i] = grad[n, tap, y, first + i]
                if mirror:
                    opposite = grad[n, taps - 1 - tap, ny, tx + first : tx + last]
                    for i in range(last - first):
                        g[i] += opposite[i]
                c0, c1 = cx + first * stride, cx + (last - 1) * stride + 1
                t0, t1 = tx + first * stride, tx + (last - 1) * stride + 1
                for e in range(e0, e1):
                    a, b = guide[n, e, cy], guide[n, e, ny]
                    da, db = out[n, e, cy], out[n, e, ny]
                    if stride == 1 and cy != ny:
                        _difference_row(a[c0:c1], b[t0:t1], g, da[c0:c1], db[t0:t1], l1, factor)
                        continue
                    for i in range(last - first):
                        d = a[c0 + i * stride] - b[t0 + i * stride]
                        step = factor * g[i] * (np.sign(d) if l1 else d)
                        da[c0 + i * stride] += step
                        db[t0 + i * stride] -= step


@njit(nogil=True, cache=True)
def _distances_dot(guide, grad, geometry, l1, sums, start, stop):
    taps, rows, columns = grad.shape[1:]
    stride = geometry[3]
    row = np.empty(columns, guide.dtype)
    for index in range(start, stop):
        n, y = index // rows, index % rows
        for tap in range(taps):
            cy, ny, cx, tx, first, last = _pairs(guide.shape, columns, geometry, tap, y)
            if first == last or (cy == ny and cx == tx):
                continue
            count = last - first
            _distance_row(guide, n, cy, ny, cx + first * stride, tx + first * stride, count, stride, l1, row)
            subtotal = 0.0
            for i in range(count):
                subtotal += row[i] * grad[n, tap, y, first + i]
            sums[index] += subtotal if l1 else 0.5 * subtotal


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
            gemm(
                False, False, each, p1 - p0, depth, 1.0, filters[k], depth, block, width, 0.0, out[n, k, p0:], positions
            )


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
                    gemm(False, True, each, m, p1 - p0, 1.0, top, positions, block, width, 1.0, target, depth)
                if to_x:
                    source = filters[k, f0 * taps :]
                    gemm(True, False, m, p1 - p0, each, 1.0, source, depth, top, positions, 0.0, block, width)
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
            gemm(True, False, m, p1 - p0, each, 1.0, source, depth, top, positions, 0.0, block, width)
            _columns(x[n], weight_grad[n], geometry, c0, c1, p0, p1, False, pixels)
            for j in range(m):
                target = flat[n, j % taps, p0:p1]
                for i in range(p1 - p0):
                    target[i] += block[j, i] * pixels[j, i]
