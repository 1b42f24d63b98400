"""Pooling on the CPU over windows of any size, stride and dilation: down the window first, then across."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import numpy as np

from segcaffe.jit.compiled import REASSOC, njit
from segcaffe.kernels.pooling import EMPTY
from segcaffe.kernels.pooling.loops import NOWHERE as _NOWHERE


@njit(nogil=True, cache=True)
def reach(o, kernel, stride, pad, size, step):
    """The pixels of window o that lie in the image: the first, and where they end; they are ``step`` apart."""
    start = o * stride - pad
    first = start if start >= 0 else start + (-start + step - 1) // step * step
    return first, min(start + (kernel - 1) * step + 1, size)


@njit(nogil=True, cache=True)
def _taps(o, kernel, stride, pad, end, step):
    """How many pixels of window o lie before ``end``, padding in front of the image among them."""
    start = o * stride - pad
    return max(0, min(start + (kernel - 1) * step + 1, end) - start + step - 1) // step


@njit(nogil=True, cache=True)
def _area(o, kernel, stride, pads, size, step, pixels_only):
    """How many pixels of window o count for its mean, along one axis."""
    pad, behind = pads
    if not pixels_only:
        return _taps(o, kernel, stride, pad, size + behind, step)
    first, last = reach(o, kernel, stride, pad, size, step)
    return max(0, last - first + step - 1) // step


@njit(nogil=True, cache=True)
def inside(shift, stride, size, count):
    """The range of windows o in [0, count) for which o·stride + shift lies in [0, size)."""
    low = min(count, max(0, -(shift // stride)))
    return low, max(low, min(count, -((shift - size) // stride)))


@njit(nogil=True, cache=True)
def _column_maxima(image, rows, best, place):
    """For each column the largest value of rows (first, end, step), and its place; `_NOWHERE` if none is there."""
    best[:] = -np.inf
    place[:] = _NOWHERE
    for y in range(rows[0], rows[1], rows[2]):
        row = image[y]
        start = np.int32(y * best.size)
        for x in range(best.size):
            value, held, held_place = row[x], best[x], place[x]
            higher = value > held
            best[x] = value if higher else held
            place[x] = np.int32(start + x) if higher else held_place


@njit(nogil=True, cache=True)
def _raise_to(best, place, step, top, mask):
    """Raise each top to its column's maximum; of equal ones the first in reading order stays."""
    for i in range(top.size):
        value, where, held, held_where = best[i * step], place[i * step], top[i], mask[i]
        better = (value > held) | ((value == held) & (where < held_where))
        top[i] = value if better else held
        mask[i] = where if better else held_where


@njit(nogil=True, cache=True)
def window_maximum(image, rows, columns):
    """The largest number of a window, by first, end and step of its rows and columns, and its place.

    Its first pixel if it holds none, `EMPTY` if it has no pixels.
    """
    width = image.shape[1]
    (first, last, down), (left, right, across) = rows, columns
    if left >= right or first >= last:
        return image.dtype.type(EMPTY), np.int32(-1)
    best, place = image.dtype.type(-np.inf), np.int32(_NOWHERE)
    for y in range(first, last, down):
        for x in range(left, right, across):
            if image[y, x] > best:
                best, place = image[y, x], np.int32(y * width + x)
    if place == _NOWHERE:
        return image[first, left], np.int32(first * width + left)
    return best, place


@njit(nogil=True, cache=True)
def max_forward(image, top, mask, window, start, stop):
    """Maxima of planes start..stop: ``window`` is kernel, stride, pad and dilation for (height, width)."""
    kh, kw, sh, sw, ph, pw, dh, dw = window
    _, height, width = image.shape
    best, place = np.empty(width, image.dtype), np.empty(width, np.int32)
    for plane in range(start, stop):
        for oy in range(top.shape[1]):
            top_row, mask_row = top[plane, oy], mask[plane, oy]
            rows = (*reach(oy, kh, sh, ph, height, dh), dh)
            _column_maxima(image[plane], rows, best, place)
            top_row[:] = -np.inf
            mask_row[:] = _NOWHERE
            for i in range(kw):
                low, high = inside(i * dw - pw, sw, width, top_row.size)
                column = low * sw + i * dw - pw
                # The common strides as constants, so that the loop becomes vector code.
                if sw == 1:
                    _raise_to(best[column:], place[column:], 1, top_row[low:high], mask_row[low:high])
                elif sw == 2:
                    _raise_to(best[column:], place[column:], 2, top_row[low:high], mask_row[low:high])
                else:
                    _raise_to(best[column:], place[column:], sw, top_row[low:high], mask_row[low:high])
            for ox in range(top_row.size):
                if mask_row[ox] == _NOWHERE:
                    columns = (*reach(ox, kw, sw, pw, width, dw), dw)
                    top_row[ox], mask_row[ox] = window_maximum(image[plane], rows, columns)


@njit(nogil=True, cache=True, fastmath=REASSOC)
def total(values):
    """The sum of a row; nothing is stored here (see docs/adding-a-kernel.md)."""
    result = values.dtype.type(0)
    for i in range(values.size):
        result += values[i]
    return result


@njit(nogil=True, cache=True)
def _add(source, step, out):
    for i in range(out.size):
        out[i] += source[i * step]


@njit(nogil=True, cache=True, error_model="numpy")
def average_forward(image, top, window, start, stop):
    """Means: ``window`` is kernel, stride, pad, padding behind, whether only pixels count, and dilation."""
    kh, kw, sh, sw, ph, pw, bh, bw, only, dh, dw = window
    _, height, width = image.shape
    sums = np.empty(width, image.dtype)
    for plane in range(start, stop):
        for oy in range(top.shape[1]):
            first, last = reach(oy, kh, sh, ph, height, dh)
            down = _area(oy, kh, sh, (ph, bh), height, dh, only)
            sums[:] = 0
            for y in range(first, last, dh):
                row = image[plane, y]
                for x in range(width):
                    sums[x] += row[x]
            out = top[plane, oy]
            out[:] = 0
            for i in range(kw):
                low, high = inside(i * dw - pw, sw, width, out.size)
                column = low * sw + i * dw - pw
                if sw == 1:
                    _add(sums[column:], 1, out[low:high])
                elif sw == 2:
                    _add(sums[column:], 2, out[low:high])
                else:
                    _add(sums[column:], sw, out[low:high])
            for ox in range(out.size):
                across = _area(ox, kw, sw, (pw, bw), width, dw, only)
                # A window without a pixel keeps its 0, whatever its extent.
                out[ox] /= max(down * across, 1)


@njit(nogil=True, cache=True, error_model="numpy")
def average_backward(top_grad, image_grad, window, start, stop):
    """The gradient of `average_forward`."""
    kh, kw, sh, sw, ph, pw, bh, bw, only, dh, dw = window
    _, height, width = image_grad.shape
    sums = np.empty(width, top_grad.dtype)
    for plane in range(start, stop):
        image_grad[plane] = 0
        for oy in range(top_grad.shape[1]):
            first, last = reach(oy, kh, sh, ph, height, dh)
            down = _area(oy, kh, sh, (ph, bh), height, dh, only)
            sums[:] = 0
            grad_row = top_grad[plane, oy]
            for ox in range(grad_row.size):
                left, right = reach(ox, kw, sw, pw, width, dw)
                across = _area(ox, kw, sw, (pw, bw), width, dw, only)
                share = grad_row[ox] / max(down * across, 1)
                for x in range(left, right, dw):
                    sums[x] += share
            for y in range(first, last, dh):
                out = image_grad[plane, y]
                for x in range(width):
                    out[x] += sums[x]
