"""Windows as channels on the CPU: row by row, channels divided among threads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.tile import add_run, clear_run, copy_run
from segcaffe.threads import calls

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]
_GRAIN = 1 << 15
"""Elements worth a thread of their own."""


def forward(x: Array, columns: Array, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> None:
    """Write the columns; see the contract."""
    _run(_write_columns, x, columns, kernel, stride, pad, dilation)


def backward(columns: Array, x: Array, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> None:
    """Sum the columns; see the contract."""
    _run(_sum_columns, x, columns, kernel, stride, pad, dilation)


def _run(compiled: Any, x: Array, columns: Array, kernel: Sizes, stride: Sizes, pad: Sizes, dilation: Sizes) -> None:
    """Call the compiled function on ranges of (image, channel)."""
    image, output = _axes(x.shape[2:], 1), _axes(columns.shape[2:], 1)
    window = _axes(kernel, 1), _axes(stride, 1), _axes(pad, 0), _axes(dilation, 1)
    channels = x.shape[0] * x.shape[1]

    def part(start: int, stop: int) -> Any:
        return ((compiled, (x.reshape(-1), columns.reshape(-1), image, output, *window, start, stop)),)

    calls.run(channels, part, grain=max(1, _GRAIN // max(1, math.prod(output) * math.prod(kernel))))


def _axes(sizes: Sizes, missing: int) -> tuple[int, ...]:
    if not 1 <= len(sizes) <= 3:
        raise ValueError(f"Windows have 1 to 3 spatial axes. Received: {len(sizes)}.")
    return (missing,) * (3 - len(sizes)) + tuple(sizes)


@njit(nogil=True, cache=True)
def _write_columns(x, columns, image, output, kernel, stride, pad, dilation, start, stop):
    taps, pixels = kernel[0] * kernel[1] * kernel[2], output[0] * output[1] * output[2]
    for channel in range(start, stop):
        for tap in range(taps):
            d_tap, h_tap = tap // (kernel[1] * kernel[2]), tap // kernel[2] % kernel[1]
            first = tap % kernel[2] * dilation[2] - pad[2]
            begin, end = _inside(image[2], stride[2], first, output[2])
            target = (channel * taps + tap) * pixels
            for d in range(output[0]):
                d_from = d * stride[0] + d_tap * dilation[0] - pad[0]
                for h in range(output[1]):
                    h_from = h * stride[1] + h_tap * dilation[1] - pad[1]
                    if not (0 <= d_from < image[0] and 0 <= h_from < image[1]):
                        clear_run(columns, target, output[2])
                    else:
                        row = ((channel * image[0] + d_from) * image[1] + h_from) * image[2] + first
                        clear_run(columns, target, begin)
                        if stride[2] == 1:
                            copy_run(columns, target + begin, x, row + begin, end - begin)
                        else:
                            for w in range(begin, end):
                                columns[target + w] = x[row + w * stride[2]]
                        clear_run(columns, target + end, output[2] - end)
                    target += output[2]


@njit(nogil=True, cache=True)
def _sum_columns(x, columns, image, output, kernel, stride, pad, dilation, start, stop):
    taps, pixels = kernel[0] * kernel[1] * kernel[2], output[0] * output[1] * output[2]
    size = image[0] * image[1] * image[2]
    for channel in range(start, stop):
        clear_run(x, channel * size, size)
        for tap in range(taps):
            d_tap, h_tap = tap // (kernel[1] * kernel[2]), tap // kernel[2] % kernel[1]
            first = tap % kernel[2] * dilation[2] - pad[2]
            begin, end = _inside(image[2], stride[2], first, output[2])
            source = (channel * taps + tap) * pixels
            for d in range(output[0]):
                d_to = d * stride[0] + d_tap * dilation[0] - pad[0]
                for h in range(output[1]):
                    h_to = h * stride[1] + h_tap * dilation[1] - pad[1]
                    if 0 <= d_to < image[0] and 0 <= h_to < image[1]:
                        row = ((channel * image[0] + d_to) * image[1] + h_to) * image[2] + first
                        if stride[2] == 1:
                            add_run(x, row + begin, columns, source + begin, end - begin)
                        else:
                            for w in range(begin, end):
                                x[row + w * stride[2]] += columns[source + w]
                    source += output[2]


@njit(inline="always")
def _inside(size, stride, first, length):
    """The range of w < length for which ``first + w * stride`` lies in [0, size)."""
    begin = min(length, max(0, -(first // stride)))
    return begin, min(length, max(begin, (size - 1 - first) // stride + 1))
