"""Im2parity on the CPU: one pass over the output, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.threads import parallel
from segcaffe.window import Window

Array = np.ndarray[Any, Any]

_GRAIN = 100_000


def forward(label: Array, parity: Array, window: Window, ignore_label: int | None) -> None:
    """Divide the output's rows among threads."""
    n, taps, rows, cols = parity.shape
    kernel, step, dilation = window.kernel, window.stride, window.dilation
    first = tuple(k // 2 * d - p for k, d, p in zip(kernel, dilation, window.pad, strict=True))
    # No label fits -2**31 + 1: a number of which 32-bit floats keep only the neighbours.
    ignored = -(2**31) + 1 if ignore_label is None else ignore_label
    outside = 0 if ignore_label is None else ignore_label
    parallel.run(
        n * rows,
        lambda start, stop: _forward(label, parity, kernel, step, first, dilation, ignored, outside, start, stop),
        1 + _GRAIN // (taps * cols),
    )


@njit(nogil=True, cache=True)
def _forward(label, parity, kernel, step, first, dilation, ignored, outside, start, stop):
    _, channels, height, width = label.shape
    taps, rows = parity.shape[1:3]
    ignored32, value = np.int32(ignored), parity.dtype.type(outside)
    padded = np.empty(width, np.int32)
    for row in range(start, stop):
        n, oy = row // rows, row % rows
        y = oy * step[0] + first[0]
        for tap in range(taps):
            out = parity[n, tap, oy]
            if not 0 <= y < height:
                out[:] = value
                continue
            dy = (tap // kernel[1] - kernel[0] // 2) * dilation[0]
            dx = (tap % kernel[1] - kernel[1] // 2) * dilation[1]
            _row(label[n, channels - 1], y, y + dy, dx, step[1], first[1], ignored32, value, padded, out)


@njit(nogil=True, cache=True)
def _parity(a, b, ignored, outside):
    return outside if a == ignored or b == ignored else type(outside)(a == b)


@njit(nogil=True, cache=True)
def _row(label, y, neighbor_y, dx, step, first, ignored, outside, neighbor, out):
    """One tap of one output row; ``neighbor`` is scratch for the tap's labels as the centres see them."""
    height, width = label.shape
    neighbor[:] = 0
    if 0 <= neighbor_y < height:
        left, right = max(0, -dx), min(width, width - dx)
        source = label[neighbor_y, max(0, dx) :]
        target = neighbor[left:]
        for x in range(right - left):
            target[x] = np.int32(source[x])
    low = min(out.size, max(0, -(first // step)))
    high = max(low, min(out.size, -((first - width) // step)))
    out[:low] = outside
    out[high:] = outside
    center, other, part = label[y, low * step + first :], neighbor[low * step + first :], out[low:high]
    if step == 1:
        for i in range(part.size):
            part[i] = _parity(np.int32(center[i]), other[i], ignored, outside)
    else:
        for i in range(part.size):
            part[i] = _parity(np.int32(center[i * step]), other[i * step], ignored, outside)
