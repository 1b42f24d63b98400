"""Registered distances on the CPU: the user's functions are compiled into the loops, which threads divide by rows.

The inner loops run along rows, channel by channel, so that each place is summed in one order and the compiler may
compute neighbouring places at once. What is compiled is not kept: it depends on functions whose sources are not ours.
"""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

import numpy as np

from segcaffe.errors import SegcaffeError
from segcaffe.jit.compiled import njit
from segcaffe.kernels.distance.registry import Distance, Function
from segcaffe.kernels.im2dist import FAR
from segcaffe.threads import parallel
from segcaffe.window import Window

Array = np.ndarray[Any, Any]
_GRAIN = 100_000
"""Channel differences worth a thread of their own."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What Numba puts into messages for a terminal."""


class _Geometry(NamedTuple):
    """Kernel, stride, pixel of the first window's centre, and dilation, for (height, width)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    first: tuple[int, int]
    dilation: tuple[int, int]


def forward(
    image: Array,
    dist: Array,
    window: Window,
    distance: Distance,
    remove_center: bool = False,
    remove_bounds: bool = False,
) -> None:
    """Divide the output's rows among threads."""
    n, taps, rows, cols = dist.shape
    far = tuple(FAR if remove else 0.0 for remove in (remove_center, remove_bounds))
    given = _compiled(distance.name, distance.value), image, dist, _geometry(window), far
    grain = 1 + _GRAIN // max(1, taps * cols * image.shape[1])
    parallel.run(n * rows, lambda start, stop: _forward(*given, start, stop), grain)


def backward(image: Array, dist_grad: Array, image_grad: Array, window: Window, distance: Distance) -> None:
    """Divide the image's rows among threads: each gathers what its pixels get, as centres and as neighbours."""
    n, channels, height, width = image.shape
    given = _compiled(distance.name, distance.slope), image, dist_grad, image_grad, _geometry(window)
    grain = 1 + _GRAIN // max(1, window.taps * width * channels)
    parallel.run(n * height, lambda start, stop: _backward(*given, start, stop), grain)


@functools.lru_cache(maxsize=128)
def _compiled(name: str, function: Function) -> Any:
    """A function as Numba compiles it into others; registered anew, it need not be compiled anew.

    Raises SegcaffeError for one that Numba cannot compile.
    """
    made = function if hasattr(function, "py_func") else njit(function)
    try:
        made(0.5)
    except Exception as error:  # Numba has many kinds, and lets pass what arises while it folds constants.
        lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines()]
        reason = next((line for line in lines if line and "Failed in nopython" not in line), type(error).__name__)
        raise SegcaffeError(
            f"distance {name}: Numba cannot compile {function.__name__} ({reason}). Write it in arithmetic, "
            "comparisons, and functions of math or NumPy, of one number each."
        ) from error
    return made


def _geometry(window: Window) -> _Geometry:
    first = tuple(k // 2 * d - p for k, d, p in zip(window.kernel, window.dilation, window.pad, strict=True))
    kernel, stride, dilation = window.kernel, window.stride, window.dilation
    return _Geometry((kernel[0], kernel[1]), (stride[0], stride[1]), (first[0], first[1]), (dilation[0], dilation[1]))


@njit(nogil=True)
def _inside(first, step, size, count):
    """The range of windows o in [0, count) whose pixel first + o·step lies in [0, size)."""
    low = min(count, max(0, -(first // step)))
    return low, max(low, min(count, -((first - size) // step)))


@njit(nogil=True)
def _forward(value, image, dist, geometry, far, start, stop):
    """Output rows start..stop of all images."""
    (kh, kw), (sh, sw), (first_y, first_x), (dh, dw) = geometry
    rows, cols = dist.shape[2:]
    channels, height, width = image.shape[1:]
    low, high = _inside(first_x, sw, width, cols)
    for row in range(start, stop):
        n, oy = row // rows, row % rows
        y = oy * sh + first_y
        for tap in range(kh * kw):
            out = dist[n, tap, oy]
            dy, dx = (tap // kw - kh // 2) * dh, (tap % kw - kw // 2) * dw
            out[:] = 0
            if not 0 <= y < height:
                continue
            if dy == 0 and dx == 0:
                out[low:high] = far[0]
                continue
            out[low:high] = far[1]
            a, b = _inside(first_x + dx, sw, width, cols)
            a, b = max(a, low), min(b, high)
            if not 0 <= y + dy < height or a >= b:
                continue
            out[a:b] = 0
            x = a * sw + first_x
            for c in range(channels):
                _sum(value, image[n, c, y, x:], image[n, c, y + dy, x + dx :], sw, out[a:b])


@njit(nogil=True)
def _sum(value, centre, other, step, out):
    """Add the values of differences of pixels ``step`` apart, one for each place of ``out``."""
    if step == 1:
        for i in range(out.size):
            out[i] += value(centre[i] - other[i])
    else:
        for i in range(out.size):
            out[i] += value(centre[i * step] - other[i * step])


@njit(nogil=True)
def _backward(slope, image, dist_grad, image_grad, geometry, start, stop):
    """Image rows start..stop of all images."""
    (kh, kw), (sh, _), (first_y, _), (dh, dw) = geometry
    rows = dist_grad.shape[2]
    height = image.shape[2]
    for row in range(start, stop):
        n, y = row // height, row % height
        image_grad[n, :, y] = 0
        for tap in range(kh * kw):
            dy, dx = (tap // kw - kh // 2) * dh, (tap % kw - kw // 2) * dw
            if dy == 0 and dx == 0:
                continue
            oy = (y - first_y) // sh
            if 0 <= oy < rows and oy * sh + first_y == y and 0 <= y + dy < height:
                _add(slope, image, dist_grad[n, tap, oy], image_grad, geometry, (n, y, dy, dx), True)
            oy = (y - dy - first_y) // sh
            if 0 <= oy < rows and oy * sh + first_y == y - dy and 0 <= y - dy < height:
                _add(slope, image, dist_grad[n, tap, oy], image_grad, geometry, (n, y, -dy, -dx), False)


@njit(nogil=True)
def _add(slope, image, grad, image_grad, geometry, pair, is_centre):
    """What the pixels of a row get from those (dy, dx) away, as centres of ``grad``'s windows or as neighbours."""
    _, (_, sw), (_, first_x), _ = geometry
    n, y, dy, dx = pair
    width, cols = image.shape[3], grad.size
    shift = 0 if is_centre else dx
    a, b = _inside(first_x, sw, width, cols)
    c, d = _inside(first_x + dx if is_centre else first_x - dx, sw, width, cols)
    a, b = max(a, c), min(b, d)
    if a >= b:
        return
    # A window's centre is at ox · stride + first: this pixel, or the one that it is a neighbour of.
    x = a * sw + first_x - shift
    sign = image_grad.dtype.type(1 if is_centre else -1)
    for c in range(image.shape[1]):
        own, other, out = image[n, c, y, x:], image[n, c, y + dy, x + dx :], image_grad[n, c, y, x:]
        _sum_slopes(slope, sign, own, other, grad[a:b], sw, out)


@njit(nogil=True)
def _sum_slopes(slope, sign, own, other, grad, step, out):
    """Add what pixels ``step`` apart get; ``sign`` is 1 where they are the centres, -1 where they are neighbours."""
    if step == 1:
        for i in range(grad.size):
            out[i] += grad[i] * sign * slope(sign * (own[i] - other[i]))
    else:
        for i in range(grad.size):
            out[i * step] += grad[i] * sign * slope(sign * (own[i * step] - other[i * step]))
