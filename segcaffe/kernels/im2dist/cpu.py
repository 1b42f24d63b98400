"""Im2dist on the CPU: rows are contiguous, so the inner loops run along x; threads divide the rows.

Large windows around every pixel go through `stencil`, where sums stay in registers, on a copy of the image whose rows
have margins; small ones, for which the copy would cost more than it saves, through `small`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import CONTRACT, njit
from segcaffe.kernels.im2dist import FAR, small
from segcaffe.kernels.vector.stencil import (
    MANY_ROWS,
    OFFSETS,
    Rows,
    compare_distances,
    compare_squares,
    gather_differences_1,
    gather_differences_7,
    gather_signs_1,
    gather_signs_7,
    run_length,
)
from segcaffe.threads import parallel
from segcaffe.window import Window

Array = np.ndarray[Any, Any]

_MANY_TAPS = 20
"""Taps of a window that is worth a copy of the image."""
_GRAIN = 200_000
"""Channel differences worth a thread of their own (a tenth of a millisecond)."""


def forward(
    image: Array, dist: Array, window: Window, l1: bool, remove_center: bool = False, remove_bounds: bool = False
) -> None:
    """Divide the output's rows among threads."""
    n, taps, height, width = dist.shape
    center, far = (FAR if remove else 0.0 for remove in (remove_center, remove_bounds))
    grain = 1 + _GRAIN // max(1, taps * width * image.shape[1])
    if _is_small(window, image):
        rest = _geometry(window), run_length(image.dtype), l1, center, far
        parallel.run(n * height, lambda start, stop: small.forward(image, dist, *rest, start, stop), grain)
        return
    if _is_large(window, image):
        rows = Rows.of(image, _reach(window), "im2dist_rows")
        layout = rows.margin, rows.pitch, run_length(image.dtype)
        sizes = image.shape[1], dist, _geometry(window), layout, l1, center, far
        parallel.run(n * height, lambda start, stop: _forward_runs(rows.flat, *sizes, start, stop), grain)
        return
    parallel.run(
        n * height,
        lambda start, stop: _forward(image, dist, _geometry(window), l1, center, far, start, stop),
        grain,
    )


def backward(image: Array, dist_grad: Array, image_grad: Array, window: Window, l1: bool) -> None:
    """Divide the image's rows among threads."""
    n, channels, height, width = image.shape
    grain = 1 + _GRAIN // max(1, window.taps * width * channels)
    if _is_small(window, image):
        arrays, size = (image, dist_grad, image_grad, _geometry(window)), run_length(image.dtype)
        parallel.run(n * height, lambda start, stop: small.backward(*arrays, size, l1, start, stop), grain)
        return
    if _is_large(window, image):
        rows = Rows.of(image, _reach(window), "im2dist_rows")
        layout = rows.margin, rows.pitch, run_length(image.dtype)
        rest = dist_grad, image_grad, _geometry(window), layout, l1
        parallel.run(n * height, lambda start, stop: _backward_runs(rows.flat, *rest, start, stop), grain)
        return
    parallel.run(
        n * height,
        lambda start, stop: _backward(image, dist_grad, image_grad, _geometry(window), l1, start, stop),
        grain,
    )


def _is_large(window: Window, image: Array) -> bool:
    """Whether there is a large window around every pixel, and rows have a register's length."""
    return _is_same(window) and window.taps >= _MANY_TAPS and image.shape[3] >= run_length(image.dtype)


def _is_small(window: Window, image: Array) -> bool:
    """Whether there is a small window around every pixel, and rows are longer than what runs may read behind them."""
    return _is_same(window) and window.taps < _MANY_TAPS and image.shape[3] >= run_length(image.dtype) + window.pad[1]


def _is_same(window: Window) -> bool:
    """Whether there is a window around every pixel."""
    axes = zip(window.kernel, window.pad, window.dilation, strict=True)
    return window.stride == (1, 1) and all(k % 2 == 1 and 2 * p == d * (k - 1) for k, p, d in axes)


def _reach(window: Window) -> int:
    """How many columns a tap lies away from the centre, at most."""
    return window.pad[1]


def _geometry(window: Window) -> tuple[int, ...]:
    """(kh, kw, sh, sw, oh, ow, dh, dw): kernel, stride, pixel of the first window's centre, dilation."""
    first = tuple(k // 2 * d - p for k, d, p in zip(window.kernel, window.dilation, window.pad, strict=True))
    return (*window.kernel, *window.stride, *first, *window.dilation)


@njit(nogil=True, cache=True)
def _inside(first, step, size, count):
    """The range of windows o in [0, count) whose pixel first + o·step lies in [0, size)."""
    low = min(count, max(0, -(first // step)))
    return low, max(low, min(count, -((first - size) // step)))


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _distances(image, n, y, x, neighbor_y, neighbor_x, step, l1, out):
    """Distances of out.size pixel pairs, each ``step`` further right, starting from (y, x) and its neighbour."""
    out[:] = 0
    for c in range(image.shape[1]):
        a = image[n, c, y, x:]
        b = image[n, c, neighbor_y, neighbor_x:]
        if step > 1:
            for i in range(out.size):
                d = a[i * step] - b[i * step]
                out[i] += abs(d) if l1 else d * d
        elif l1:
            for i in range(out.size):
                out[i] += abs(a[i] - b[i])
        else:
            for i in range(out.size):
                d = a[i] - b[i]
                out[i] += d * d


@njit(nogil=True, cache=True)
def _scaled(source, scale, out):
    for i in range(out.size):
        out[i] = source[i] * scale


@njit(nogil=True, cache=True)
def _forward(image, dist, geometry, l1, center, far, start, stop):
    """Output rows start..stop of all images.

    With stride 1 a pair of pixels appears twice, as tap t of one and tap -t of the other: it is computed once, for
    the later tap, and written to both rows. So a row's task writes some places of other rows, each place once.
    """
    kh, kw, sh, sw, first_y, first_x, dh, dw = geometry
    _, _, rows, cols = dist.shape
    height, width = image.shape[2:]
    scale = image.dtype.type(1.0 if l1 else 0.5)
    low, high = _inside(first_x, sw, width, cols)
    sums = np.empty(max(width, cols), image.dtype)
    for row in range(start, stop):
        n, oy = row // rows, row % rows
        y = oy * sh + first_y
        for tap in range(kh * kw):
            out = dist[n, tap, oy]
            dy, dx = (tap // kw - kh // 2) * dh, (tap % kw - kw // 2) * dw
            out[:low] = 0
            out[high:] = 0
            if not 0 <= y < height:
                out[low:high] = 0
                continue
            if dy == 0 and dx == 0:
                out[low:high] = center
                continue
            if not 0 <= y + dy < height:
                out[low:high] = far
                continue
            a, b = _inside(first_x + dx, sw, width, cols)
            a, b = min(max(a, low), high), max(low, min(b, high))
            b = max(a, b)
            out[low:a] = far
            out[b:high] = far
            twin_i, twin_j = 2 * (kh // 2) - tap // kw, 2 * (kw // 2) - tap % kw
            has_twin = sh == 1 and sw == 1 and twin_i < kh and twin_j < kw and 0 <= oy + dy < rows
            if not has_twin:
                part = sums[: b - a]
                _distances(image, n, y, a * sw + first_x, y + dy, a * sw + first_x + dx, sw, l1, part)
                _scaled(part, scale, out[a:b])
            elif dy > 0 or (dy == 0 and dx > 0):
                left, right = max(0, -dx), min(width, width - dx)
                if right <= left:
                    continue
                _distances(image, n, y, left, y + dy, left + dx, 1, l1, sums[: right - left])
                _scaled(sums[a + first_x - left :], scale, out[a:b])
                c, d = max(low, left + dx - first_x), min(high, right + dx - first_x)
                if c < d:
                    twin = dist[n, twin_i * kw + twin_j, oy + dy, c:d]
                    _scaled(sums[c - dx + first_x - left :], scale, twin)


@njit(nogil=True, cache=True)
def _compare_run(flat, at, pitch, offsets, k, channels, l1, sums, x, width):
    if l1:
        compare_distances(flat, at, pitch, flat, at, pitch, offsets, k, channels, sums, x, width)
    else:
        compare_squares(flat, at, pitch, flat, at, pitch, offsets, k, channels, sums, x, width)


@njit(nogil=True, cache=True)
def _shift(tap, geometry):
    """How far a tap lies from the centre of its window, in rows and columns."""
    kh, kw, _, _, _, _, dh, dw = geometry
    return (tap // kw - kh // 2) * dh, (tap % kw - kw // 2) * dw


@njit(nogil=True, cache=True)
def _forward_runs(flat, channels, dist, geometry, layout, l1, center, far, start, stop):
    """`_forward` for large windows; each pair of pixels is computed for the later tap of the two."""
    margin, pitch, length = layout
    taps, height, width = dist.shape[1:]
    scale = dist.dtype.type(1.0 if l1 else 0.5)
    chosen, offsets = np.empty(taps, np.int64), np.empty(taps + OFFSETS, np.int64)
    sums = np.empty(OFFSETS * width, dist.dtype)
    for row in range(start, stop):
        n, y = row // height, row % height
        count = 0
        for tap in range(taps):
            dy, dx = _shift(tap, geometry)
            left, right = max(0, -dx), min(width, width - dx)
            if not 0 <= y + dy < height or left >= right:
                left = right = width
            dist[n, tap, y, :left] = far
            dist[n, tap, y, right:] = far
            if 2 * tap + 1 == taps:
                dist[n, tap, y] = center
            elif 2 * tap + 1 > taps and left < right:
                chosen[count], offsets[count] = tap, dy * channels * pitch + dx
                count += 1
        offsets[count : count + OFFSETS] = 0
        base = row * channels * pitch + margin
        for k in range(0, count, OFFSETS):
            for run in range(-(-width // length)):
                x = min(run * length, width - length)
                _compare_run(flat, base + x, pitch, offsets, k, channels, l1, sums, x, width)
            for j in range(min(OFFSETS, count - k)):
                tap = chosen[k + j]
                dy, dx = _shift(tap, geometry)
                left, right = max(0, -dx), min(width, width - dx)
                part = sums[j * width + left : j * width + right]
                _scaled(part, scale, dist[n, tap, y, left:right])
                _scaled(part, scale, dist[n, taps - 1 - tap, y + dy, left + dx : right + dx])


@njit(nogil=True, cache=True)
def _pair_weights(dist_grad, n, y, dy, dx, geometry, height, width, out):
    """Add to out[x] what pixel (y, x) gets through its pair with (y + dy, x + dx): as centre, and as neighbour."""
    kh, kw, sh, sw, first_y, first_x, dh, dw = geometry
    rows, cols = dist_grad.shape[2:]
    for side in range(2):
        sign, shift_y, shift_x = (1, 0, 0) if side == 0 else (-1, dy, dx)
        i, j = sign * (dy // dh) + kh // 2, sign * (dx // dw) + kw // 2
        oy = (y + shift_y - first_y) // sh
        if not (0 <= i < kh and 0 <= j < kw and 0 <= oy < rows) or oy * sh + first_y != y + shift_y:
            continue
        grad = dist_grad[n, i * kw + j, oy]
        a, b = _inside(first_x - shift_x, sw, width, cols)
        c, d = _inside(first_x - shift_x + dx, sw, width, cols)
        base = first_x - shift_x
        for ox in range(max(a, c), min(b, d)):
            out[ox * sw + base] += grad[ox]


@njit(nogil=True, cache=True, fastmath=CONTRACT)
def _add_three(image, own, first, second, third, weights, a, pitch, l1, sums, start, stop):
    """Add the weighted differences of a run of pixels from three others each, given by flat offsets into the image.

    Offsets are unsigned: an index that may be negative would be checked for Python's wrap-around, element by element.
    """
    b, c = a + pitch, a + pitch + pitch
    zero = image.dtype.type(0)
    if l1:
        for x in range(stop - start):
            pixel = image[own + x]
            p, q, r = image[first + x], image[second + x], image[third + x]
            total = (weights[a + x] if pixel > p else zero) - (weights[a + x] if pixel < p else zero)
            total += (weights[b + x] if pixel > q else zero) - (weights[b + x] if pixel < q else zero)
            total += (weights[c + x] if pixel > r else zero) - (weights[c + x] if pixel < r else zero)
            sums[start + x] += total
    else:
        for x in range(stop - start):
            pixel = image[own + x]
            total = weights[a + x] * (pixel - image[first + x]) + weights[b + x] * (pixel - image[second + x])
            sums[start + x] += total + weights[c + x] * (pixel - image[third + x])


@njit(nogil=True, cache=True)
def _move(sums, out, offset):
    for x in range(np.uint64(sums.size)):
        out[offset + x] = sums[x]
        sums[x] = 0


@njit(nogil=True, cache=True)
def _backward(image, dist_grad, image_grad, geometry, l1, start, stop):
    """Image rows start..stop: each pixel gathers over the pairs it belongs to, so that rows are independent.

    The neighbours in one column of the window share their range of x and are taken three rows at a time; where there
    are fewer, the pixel's own row with weight 0 fills the place.
    """
    kh, kw, _, _, _, _, dh, dw = geometry
    _, channels, height, width = image.shape
    span_h, span_w = kh // 2, kw // 2
    columns = 2 * span_w + 1
    triples = (2 * span_h + 3) // 3
    weights = np.empty((triples * 3 * columns, width), image.dtype)
    rows = np.zeros((triples * 3 * columns,), np.int64)
    flat, flat_weights, flat_grad = image.reshape(-1), weights.reshape(-1), image_grad.reshape(-1)
    sums = np.zeros(width, image.dtype)
    for row in range(start, stop):
        n, y = row // height, row % height
        weights[:] = 0
        rows[:] = 0
        for i in range(-span_h, span_h + 1):
            for j in range(-span_w, span_w + 1):
                if (i != 0 or j != 0) and 0 <= y + i * dh < height:
                    k = (j + span_w) * triples * 3 + i + span_h
                    rows[k] = i * dh
                    _pair_weights(dist_grad, n, y, i * dh, j * dw, geometry, height, width, weights[k])
        for c in range(channels):
            origin = ((n * channels + c) * height + y) * width
            for k in range(0, weights.shape[0], 3):
                dx = (k // (triples * 3) - span_w) * dw
                left, right = max(0, -dx), min(width, width - dx)
                if left < right:
                    other = origin + left + dx
                    _add_three(
                        flat,
                        np.uint64(origin + left),
                        np.uint64(other + rows[k] * width),
                        np.uint64(other + rows[k + 1] * width),
                        np.uint64(other + rows[k + 2] * width),
                        flat_weights,
                        np.uint64(k * width + left),
                        np.uint64(width),
                        l1,
                        sums,
                        np.uint64(left),
                        np.uint64(right),
                    )
            _move(sums, flat_grad, np.uint64(origin))


@njit(nogil=True, cache=True)
def _gather_run(flat, at, offsets, weights, x, places, count, l1, out, to, sizes):
    """One run of pixels of all channels; the last few channels together with some that are done already."""
    pitch, plane, channels = sizes
    many = channels >= MANY_ROWS
    rows = MANY_ROWS if many else 1
    for group in range(-(-channels // rows)):
        c = min(group * rows, channels - rows)
        source, target = at + c * pitch, to + c * plane
        if many and l1:
            gather_signs_7(flat, source, pitch, offsets, weights, x, places, count, out, target, plane)
        elif many:
            gather_differences_7(flat, source, pitch, offsets, weights, x, places, count, out, target, plane)
        elif l1:
            gather_signs_1(flat, source, pitch, offsets, weights, x, places, count, out, target, plane)
        else:
            gather_differences_1(flat, source, pitch, offsets, weights, x, places, count, out, target, plane)


@njit(nogil=True, cache=True)
def _backward_runs(flat, dist_grad, image_grad, geometry, layout, l1, start, stop):
    """`_backward` for large windows."""
    margin, pitch, length = layout
    _, channels, height, width = image_grad.shape
    taps = dist_grad.shape[1]
    weights, flat_grad = np.empty((taps, width), image_grad.dtype), image_grad.reshape(-1)
    offsets, places = np.empty(taps, np.int64), np.empty(taps, np.int64)
    for row in range(start, stop):
        n, y = row // height, row % height
        weights[:] = 0
        for tap in range(taps):
            dy, dx = _shift(tap, geometry)
            if 2 * tap + 1 != taps and 0 <= y + dy < height:
                left, right = max(0, -dx), min(width, width - dx)
                own, other = dist_grad[n, tap, y, left:right], dist_grad[n, taps - 1 - tap, y + dy, left + dx :]
                for x in range(right - left):
                    weights[tap, left + x] = own[x] + other[x]
        for run in range(-(-width // length)):
            x = min(run * length, width - length)
            # The centre, whose weight is 0, so that there is at least one.
            count = 1
            offsets[0], places[0] = 0, taps // 2 * width
            for tap in range(taps):
                dy, dx = _shift(tap, geometry)
                if 2 * tap + 1 != taps and 0 <= y + dy < height and -length < x + dx < width:
                    offsets[count], places[count] = dy * channels * pitch + dx, tap * width
                    count += 1
            at, to = row * channels * pitch + margin + x, (n * channels * height + y) * width + x
            sizes = pitch, height * width, channels
            _gather_run(flat, at, offsets, weights.reshape(-1), x, places, count, l1, flat_grad, to, sizes)
