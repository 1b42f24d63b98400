"""Pooling on the CPU over windows whose pixels lie apart from each other (see `cpu`, which calls these)."""

from __future__ import annotations

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.pooling import EMPTY


@njit(nogil=True, cache=True)
def _reach(o, kernel, stride, pad, size, step):
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
    first, last = _reach(o, kernel, stride, pad, size, step)
    return max(0, last - first + step - 1) // step


@njit(nogil=True, cache=True)
def max_forward(image, top, mask, window, start, stop):
    """Maxima of planes start..stop: ``window`` is kernel, stride, pad and dilation for (height, width)."""
    kh, kw, sh, sw, ph, pw, dh, dw = window
    _, height, width = image.shape
    for plane in range(start, stop):
        for oy in range(top.shape[1]):
            first, last = _reach(oy, kh, sh, ph, height, dh)
            for ox in range(top.shape[2]):
                left, right = _reach(ox, kw, sw, pw, width, dw)
                best, place = image.dtype.type(EMPTY), -1
                for y in range(first, last, dh):
                    for x in range(left, right, dw):
                        value = image[plane, y, x]
                        # NaN loses against any number; the first of equals stays.
                        if value > best or (place < 0 and value == value):
                            best, place = value, y * width + x
                if place < 0 and first < last and left < right:
                    best, place = image[plane, first, left], first * width + left
                top[plane, oy, ox], mask[plane, oy, ox] = best, np.int32(place)


@njit(nogil=True, cache=True, error_model="numpy")
def average_forward(image, top, window, start, stop):
    """Means: ``window`` is kernel, stride, pad, padding behind, whether only pixels count, and dilation."""
    kh, kw, sh, sw, ph, pw, bh, bw, only, dh, dw = window
    _, height, width = image.shape
    for plane in range(start, stop):
        for oy in range(top.shape[1]):
            first, last = _reach(oy, kh, sh, ph, height, dh)
            down = _area(oy, kh, sh, (ph, bh), height, dh, only)
            for ox in range(top.shape[2]):
                left, right = _reach(ox, kw, sw, pw, width, dw)
                total = image.dtype.type(0)
                for y in range(first, last, dh):
                    for x in range(left, right, dw):
                        total += image[plane, y, x]
                across = _area(ox, kw, sw, (pw, bw), width, dw, only)
                top[plane, oy, ox] = total / max(down * across, 1)


@njit(nogil=True, cache=True, error_model="numpy")
def average_backward(top_grad, image_grad, window, start, stop):
    """The gradient of `average_forward`."""
    kh, kw, sh, sw, ph, pw, bh, bw, only, dh, dw = window
    _, height, width = image_grad.shape
    for plane in range(start, stop):
        image_grad[plane] = 0
        for oy in range(top_grad.shape[1]):
            first, last = _reach(oy, kh, sh, ph, height, dh)
            down = _area(oy, kh, sh, (ph, bh), height, dh, only)
            for ox in range(top_grad.shape[2]):
                left, right = _reach(ox, kw, sw, pw, width, dw)
                across = _area(ox, kw, sw, (pw, bw), width, dw, only)
                share = top_grad[plane, oy, ox] / max(down * across, 1)
                for y in range(first, last, dh):
                    for x in range(left, right, dw):
                        image_grad[plane, y, x] += share
