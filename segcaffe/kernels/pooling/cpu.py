"""Pooling on the CPU: threads divide the channels; down the window first, then across.

Small windows are in `loops`, those with a dilation in `dilated`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.pooling import EMPTY, dilated, loops
from segcaffe.threads import parallel
from segcaffe.window import Window

Array = np.ndarray[Any, Any]

_GRAIN = 50_000
_NOWHERE = loops.NOWHERE
_TINY = float(np.finfo(np.float32).tiny)


def _planes(array: Array) -> Array:
    return array.reshape(-1, *array.shape[2:])


def _run(compiled: Any, options: tuple[int, ...], *arrays: Array) -> None:
    """Call a compiled function over ranges of channels."""
    planes = [_planes(array) for array in arrays]
    grain = 1 + _GRAIN // max(1, max(plane[0].size for plane in planes) if planes[0].size else 1)
    parallel.run(len(planes[0]), lambda start, stop: compiled(*planes, options, start, stop), grain)


def _sizes(window: Window) -> tuple[int, ...]:
    return *window.kernel, *window.stride, *window.pad


def _all_sizes(window: Window, pixels_only: bool) -> tuple[int, ...]:
    """The sizes that say over how many pixels a mean is; pixels_only as 0 or 1."""
    return *_sizes(window), *(window.behind or window.pad), int(pixels_only)


def _is_dilated(window: Window) -> bool:
    return set(window.dilation) != {1}


def _is_small(window: Window) -> bool:
    """Whether `loops` has code for the window."""
    return window.stride == (2, 2) and window.kernel in ((2, 2), (3, 3))


def max_forward(image: Array, top: Array, mask: Array, window: Window) -> None:
    if _is_dilated(window):
        _run(dilated.max_forward, (*_sizes(window), *window.dilation), image, top, mask)
    else:
        _run(_max_forward_small if _is_small(window) else _max_forward, _sizes(window), image, top, mask)


def scatter(top_grad: Array, mask: Array, image_grad: Array, window: Window) -> None:
    _run(_scatter, (), top_grad, mask, image_grad)


def average_forward(image: Array, top: Array, window: Window, pixels_only: bool = False) -> None:
    sizes = _all_sizes(window, pixels_only)
    if _is_dilated(window):
        _run(dilated.average_forward, (*sizes, *window.dilation), image, top)
    elif _is_small(window) and window.is_even and not pixels_only:
        _run(_average_forward_small, _sizes(window), image, top)
    else:
        _run(_average_forward, sizes, image, top)


def average_backward(top_grad: Array, image_grad: Array, window: Window, pixels_only: bool = False) -> None:
    sizes = _all_sizes(window, pixels_only)
    if _is_dilated(window):
        _run(dilated.average_backward, (*sizes, *window.dilation), top_grad, image_grad)
    elif _is_small(window) and window.is_even and not pixels_only:
        _run(_average_backward_small, _sizes(window), top_grad, image_grad)
    else:
        _run(_average_backward, sizes, top_grad, image_grad)


def stochastic_forward(image: Array, chance: Array, top: Array, mask: Array, window: Window) -> None:
    _run(_stochastic_forward, _sizes(window), image, chance, top, mask)


def weighted_forward(image: Array, top: Array, window: Window) -> None:
    _run(_weighted_forward, _sizes(window), image, top)


def weighted_backward(image: Array, top: Array, top_grad: Array, image_grad: Array, window: Window) -> None:
    _run(_weighted_backward, _sizes(window), image, top, top_grad, image_grad)


@njit(nogil=True, cache=True)
def _clip(o, kernel, stride, pad, size):
    """The pixels of window o that lie in the image."""
    start = o * stride - pad
    return max(start, 0), min(start + kernel, size)


@njit(nogil=True, cache=True)
def _counted(o, kernel, stride, pad, behind, size, pixels_only):
    """The pixels of window o that lie in the image, and how many count for its mean."""
    start = o * stride - pad
    first, last = max(start, 0), min(start + kernel, size)
    return first, last, last - first if pixels_only else min(start + kernel, size + behind) - start


@njit(nogil=True, cache=True)
def _inside(shift, stride, size, count):
    """The range of windows o in [0, count) for which o·stride + shift lies in [0, size)."""
    low = min(count, max(0, -(shift // stride)))
    return low, max(low, min(count, -((shift - size) // stride)))


@njit(nogil=True, cache=True)
def _column_maxima(image, first, last, best, place):
    """For each column the largest value of rows first..last, and its place; `_NOWHERE` if no number is there."""
    best[:] = -np.inf
    place[:] = _NOWHERE
    for y in range(first, last):
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
def _window_maximum(image, first, last, left, right):
    """The largest number of a window and its place; its first pixel if it holds none, `EMPTY` if it has no pixels."""
    width = image.shape[1]
    if left >= right or first >= last:
        return image.dtype.type(EMPTY), np.int32(-1)
    best, place = image.dtype.type(-np.inf), np.int32(_NOWHERE)
    for y in range(first, last):
        for x in range(left, right):
            if image[y, x] > best:
                best, place = image[y, x], np.int32(y * width + x)
    if place == _NOWHERE:
        return image[first, left], np.int32(first * width + left)
    return best, place


@njit(nogil=True, cache=True)
def _max_forward_small(image, top, mask, window, start, stop):
    size, _, _, _, ph, pw = window
    _, height, width = image.shape
    for plane in range(start, stop):
        loops.max_windows(image, top, mask, size, (ph, pw), plane, plane + 1)
        if not _has(mask[plane].reshape(-1), np.int32(_NOWHERE)):
            continue
        for oy in range(top.shape[1]):
            first, last = _clip(oy, size, 2, ph, height)
            for ox in range(top.shape[2]):
                if mask[plane, oy, ox] == _NOWHERE:
                    left, right = _clip(ox, size, 2, pw, width)
                    top[plane, oy, ox], mask[plane, oy, ox] = _window_maximum(image[plane], first, last, left, right)


@njit(nogil=True, cache=True)
def _has(values, wanted):
    found = False
    for i in range(values.size):
        found |= values[i] == wanted
    return found


@njit(nogil=True, cache=True)
def _max_forward(image, top, mask, window, start, stop):
    kh, kw, sh, sw, ph, pw = window
    _, height, width = image.shape
    best, place = np.empty(width, image.dtype), np.empty(width, np.int32)
    for plane in range(start, stop):
        for oy in range(top.shape[1]):
            top_row, mask_row = top[plane, oy], mask[plane, oy]
            first, last = _clip(oy, kh, sh, ph, height)
            _column_maxima(image[plane], first, last, best, place)
            top_row[:] = -np.inf
            mask_row[:] = _NOWHERE
            for i in range(kw):
                low, high = _inside(i - pw, sw, width, top_row.size)
                column = low * sw + i - pw
                # The common strides as constants, so that the loop becomes vector code.
                if sw == 1:
                    _raise_to(best[column:], place[column:], 1, top_row[low:high], mask_row[low:high])
                elif sw == 2:
                    _raise_to(best[column:], place[column:], 2, top_row[low:high], mask_row[low:high])
                else:
                    _raise_to(best[column:], place[column:], sw, top_row[low:high], mask_row[low:high])
            for ox in range(top_row.size):
                if mask_row[ox] == _NOWHERE:
                    left, right = _clip(ox, kw, sw, pw, width)
                    top_row[ox], mask_row[ox] = _window_maximum(image[plane], first, last, left, right)


@njit(nogil=True, cache=True)
def _scatter(top_grad, mask, image_grad, _window, start, stop):
    for plane in range(start, stop):
        image_grad[plane] = 0
        out = image_grad[plane].reshape(-1)
        for oy in range(top_grad.shape[1]):
            grad_row, mask_row = top_grad[plane, oy], mask[plane, oy]
            for ox in range(grad_row.size):
                if mask_row[ox] >= 0:
                    out[mask_row[ox]] += grad_row[ox]


@njit(nogil=True, cache=True)
def _add(source, step, out):
    for i in range(out.size):
        out[i] += source[i * step]


@njit(nogil=True, cache=True)
def _average_forward_small(image, top, window, start, stop):
    loops.mean_windows(image, top, window[0], (window[4], window[5]), start, stop)


@njit(nogil=True, cache=True)
def _average_backward_small(top_grad, image_grad, window, start, stop):
    loops.gradient_of_means(top_grad, image_grad, window[0], (window[4], window[5]), start, stop)


@njit(nogil=True, cache=True, error_model="numpy")
def _average_forward(image, top, window, start, stop):
    kh, kw, sh, sw, ph, pw, bh, bw, only = window
    _, height, width = image.shape
    sums = np.empty(width, image.dtype)
    for plane in range(start, stop):
        for oy in range(top.shape[1]):
            first, last, extent = _counted(oy, kh, sh, ph, bh, height, only)
            sums[:] = 0
            for y in range(first, last):
                row = image[plane, y]
                for x in range(width):
                    sums[x] += row[x]
            out = top[plane, oy]
            out[:] = 0
            for i in range(kw):
                low, high = _inside(i - pw, sw, width, out.size)
                column = low * sw + i - pw
                if sw == 1:
                    _add(sums[column:], 1, out[low:high])
                elif sw == 2:
                    _add(sums[column:], 2, out[low:high])
                else:
                    _add(sums[column:], sw, out[low:high])
            for ox in range(out.size):
                _, _, across = _counted(ox, kw, sw, pw, bw, width, only)
                # A window without a pixel keeps its 0, whatever its extent.
                out[ox] /= max(extent * across, 1)


@njit(nogil=True, cache=True, error_model="numpy")
def _average_backward(top_grad, image_grad, window, start, stop):
    kh, kw, sh, sw, ph, pw, bh, bw, only = window
    _, height, width = image_grad.shape
    sums = np.empty(width, top_grad.dtype)
    for plane in range(start, stop):
        image_grad[plane] = 0
        for oy in range(top_grad.shape[1]):
            first, last, extent = _counted(oy, kh, sh, ph, bh, height, only)
            sums[:] = 0
            grad_row = top_grad[plane, oy]
            for ox in range(grad_row.size):
                left, right, across = _counted(ox, kw, sw, pw, bw, width, only)
                share = grad_row[ox] / max(extent * across, 1)
                for x in range(left, right):
                    sums[x] += share
            for y in range(first, last):
                out = image_grad[plane, y]
                for x in range(width):
                    out[x] += sums[x]


@njit(nogil=True, cache=True)
def _stochastic_forward(image, chance, top, mask, window, start, stop):
    kh, kw, sh, sw, ph, pw = window
    _, height, width = image.shape
    for plane in range(start, stop):
        for oy in range(top.shape[1]):
            for ox in range(top.shape[2]):
                first, last = _clip(oy, kh, sh, ph, height)
                left, right = _clip(ox, kw, sw, pw, width)
                if left >= right or first >= last:
                    top[plane, oy, ox], mask[plane, oy, ox] = 0, -1
                    continue
                threshold = chance[plane, oy, ox] * image[plane, first:last, left:right].sum()
                total, pick = image.dtype.type(0), (last - 1) * width + right - 1
                for i in range((last - first) * (right - left)):
                    y, x = first + i // (right - left), left + i % (right - left)
                    total += image[plane, y, x]
                    if total >= threshold:
                        pick = y * width + x
                        break
                top[plane, oy, ox] = image[plane, pick // width, pick % width]
                mask[plane, oy, ox] = pick


@njit(nogil=True, cache=True, error_model="numpy")
def _weighted_forward(image, top, window, start, stop):
    kh, kw, sh, sw, ph, pw = window
    _, height, width = image.shape
    for plane in range(start, stop):
        for oy in range(top.shape[1]):
            for ox in range(top.shape[2]):
                first, last = _clip(oy, kh, sh, ph, height)
                left, right = _clip(ox, kw, sw, pw, width)
                total, squares = image.dtype.type(_TINY), image.dtype.type(0)
                for y in range(first, last):
                    for x in range(left, right):
                        total += image[plane, y, x]
                        squares += image[plane, y, x] * image[plane, y, x]
                top[plane, oy, ox] = squares / total


@njit(nogil=True, cache=True, error_model="numpy")
def _weighted_backward(image, top, top_grad, image_grad, window, start, stop):
    kh, kw, sh, sw, ph, pw = window
    _, height, width = image.shape
    for plane in range(start, stop):
        image_grad[plane] = 0
        for oy in range(top.shape[1]):
            for ox in range(top.shape[2]):
                first, last = _clip(oy, kh, sh, ph, height)
                left, right = _clip(ox, kw, sw, pw, width)
                total = image.dtype.type(_TINY)
                for y in range(first, last):
                    for x in range(left, right):
                        total += image[plane, y, x]
                share = top_grad[plane, oy, ox] / total
                for y in range(first, last):
                    for x in range(left, right):
                        image_grad[plane, y, x] += share * (2 * image[plane, y, x] - top[plane, oy, ox])
