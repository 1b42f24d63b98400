"""Pooling on the CPU: threads divide the channels. Small windows are in `loops`, those of any kind in `windows`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.pooling import loops, windows
from segcaffe.kernels.pooling.maxima import maxima, maxima_1_apart, maxima_2_apart, means_of_planes
from segcaffe.threads import calls
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
    calls.run(len(planes[0]), lambda start, stop: ((compiled, (*planes, options, start, stop)),), grain)


def _sizes(window: Window) -> tuple[int, ...]:
    return *window.kernel, *window.stride, *window.pad


def _all_sizes(window: Window, pixels_only: bool) -> tuple[int, ...]:
    """The sizes that say over how many pixels a mean is; pixels_only as 0 or 1."""
    return *_sizes(window), *(window.behind or window.pad), int(pixels_only), *window.dilation


def _is_small(window: Window) -> bool:
    """Whether `loops` has code for the window."""
    return window.stride == (2, 2) and window.kernel in ((2, 2), (3, 3)) and set(window.dilation) == {1}


def _is_whole(window: Window, image: Array, top: Array) -> bool:
    """Whether there is one window, which is the whole image."""
    pads = any(map(any, window.paddings)) or set(window.dilation) != {1}
    return not pads and window.kernel == image.shape[2:] and math.prod(top.shape[2:]) == 1 and top.size > 0


def max_forward(image: Array, top: Array, mask: Array, window: Window) -> None:
    if _is_small(window):
        _run(_max_forward_small, _sizes(window), image, top, mask)
    else:
        _run(windows.max_forward, (*_sizes(window), *window.dilation), image, top, mask)


def max_values(image: Array, top: Array, window: Window) -> None:
    near = set(window.dilation) == {1} and window.kernel[1] in (2, 3)
    function = {1: maxima_1_apart, 2: maxima_2_apart if near else maxima}.get(window.stride[1], maxima)
    _run(function, (*_sizes(window), *window.dilation), image, top)


def scatter(top_grad: Array, mask: Array, image_grad: Array, window: Window) -> None:
    _run(_scatter, (), top_grad, mask, image_grad)


def average_forward(image: Array, top: Array, window: Window, pixels_only: bool = False) -> None:
    if _is_whole(window, image, top):
        flat, grain = image.reshape(top.size, -1), 1 + _GRAIN // math.prod(window.kernel)
        calls.run(top.size, lambda start, stop: ((means_of_planes, (flat, top.reshape(-1), start, stop)),), grain)
    elif _is_small(window) and window.is_even and not pixels_only:
        _run(_average_forward_small, _sizes(window), image, top)
    else:
        _run(windows.average_forward, _all_sizes(window, pixels_only), image, top)


def average_backward(top_grad: Array, image_grad: Array, window: Window, pixels_only: bool = False) -> None:
    if _is_small(window) and window.is_even and not pixels_only:
        _run(_average_backward_small, _sizes(window), top_grad, image_grad)
    else:
        _run(windows.average_backward, _all_sizes(window, pixels_only), top_grad, image_grad)


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
def _max_forward_small(image, top, mask, window, start, stop):
    size, _, _, _, ph, pw = window
    _, height, width = image.shape
    for plane in range(start, stop):
        loops.max_windows(image, top, mask, size, (ph, pw), plane, plane + 1)
        if not _has(mask[plane].reshape(-1), np.int32(_NOWHERE)):
            continue
        for oy in range(top.shape[1]):
            rows = (*_clip(oy, size, 2, ph, height), 1)
            for ox in range(top.shape[2]):
                if mask[plane, oy, ox] == _NOWHERE:
                    columns = (*_clip(ox, size, 2, pw, width), 1)
                    top[plane, oy, ox], mask[plane, oy, ox] = windows.window_maximum(image[plane], rows, columns)


@njit(nogil=True, cache=True)
def _has(values, wanted):
    found = False
    for i in range(values.size):
        found |= values[i] == wanted
    return found


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
def _average_forward_small(image, top, window, start, stop):
    loops.mean_windows(image, top, window[0], (window[4], window[5]), start, stop)


@njit(nogil=True, cache=True)
def _average_backward_small(top_grad, image_grad, window, start, stop):
    loops.gradient_of_means(top_grad, image_grad, window[0], (window[4], window[5]), start, stop)


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
