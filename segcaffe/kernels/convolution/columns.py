"""Convolution with more weights than pixels: columns of the image, some channels at a time, through BLAS.

The loops of `cpu` pack the weights once and use them for every block of pixels. Where pixels are few that costs as much
as the products; BLAS then does better, and columns of so few pixels are small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from segcaffe.kernels.convolution.end import End
from segcaffe.kernels.im2col import cpu as im2col
from segcaffe.kernels.matmul import cpu as matmul
from segcaffe.kernels.vector.scratch import scratch

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]
Window = tuple[Sizes, Sizes, Sizes]
"""Stride, pad, dilation."""

_FEW_PIXELS = 1024
FEWER_PIXELS = 256, 512
"""Fewer still: up to so many even 3x3 kernels are better done this way, forward and backward."""
MANY_WEIGHTS = 1 << 15
_FEW_ROWS = 32
_COLUMNS = 1 << 21
"""Elements of columns at a time."""


def suit_forward(out: Array, weight: Array, group: int) -> bool:
    """Whether forward is better done this way."""
    positions = out.shape[0] * math.prod(out.shape[2:])
    return group == 1 and positions <= _FEW_PIXELS and weight.size >= MANY_WEIGHTS


def suit_data(grad_out: Array, weight: Array, group: int) -> bool:
    """Whether backward_data is better done this way."""
    return suit_forward(grad_out, weight, group) and len(weight) >= _FEW_ROWS


def suit_data_better(grad_out: Array, weight: Array, group: int) -> bool:
    """Whether this way is better for backward_data than Winograd's."""
    positions = grad_out.shape[0] * math.prod(grad_out.shape[2:])
    return suit_data(grad_out, weight, group) and positions <= FEWER_PIXELS[1]


def suit_gradient(grad_out: Array, weight: Array, window: Window, group: int) -> bool:
    """Whether backward_weight is better done this way."""
    large = group == 1 and min(weight.shape[:2]) >= _FEW_ROWS and grad_out.shape[0] == 1
    return suit_forward(grad_out, weight, group) or (large and _is_pixelwise(weight.shape[2:], window))


def forward(x: Array, weight: Array, end: End, out: Array, window: Window) -> None:
    """Overwrite ``out``."""
    for image, result in zip(x, out, strict=True):
        target = result.reshape(len(weight), -1)
        done = 0
        for first, part, columns in _parts(image, weight, result.shape[1:], window):
            _write(image, columns, first, part, weight, result.shape[1:], window)
            done += part.shape[1]
            put = end.put if done * len(weight) == weight.size else None
            matmul.multiply(part, columns, target, beta=float(first > 0), then=put)


def backward_data(grad_out: Array, weight: Array, end: End, grad_x: Array, window: Window) -> None:
    """Overwrite ``grad_x``."""
    for grad, image in zip(grad_out, grad_x, strict=True):
        source = grad.reshape(len(weight), -1)
        for first, part, columns in _parts(image, weight, grad.shape[1:], window):
            if _is_pixelwise(weight.shape[2:], window):
                matmul.multiply(part, source, columns, trans_a=True, then=end.put)
                continue
            matmul.multiply(part, source, columns, trans_a=True)
            channels = _channels(image, first, part, weight)
            spread = columns.reshape(1, len(columns), *grad.shape[1:])
            im2col.backward(spread, channels, weight.shape[2:], *window)
            end.put_to_image(channels[0], first)


def backward_weight(x: Array, grad_out: Array, grad_weight: Array, window: Window, beta: float) -> None:
    """Add to ``beta * grad_weight``."""
    for image, grad in zip(x, grad_out, strict=True):
        source = grad.reshape(len(grad_weight), -1)
        for first, part, columns in _parts(image, grad_weight, grad.shape[1:], window):
            _write(image, columns, first, part, grad_weight, grad.shape[1:], window)
            matmul.multiply(source, columns, part, trans_b=True, beta=beta)
        beta = 1.0


def _is_pixelwise(kernel: Sizes, window: Window) -> bool:
    """Whether the columns are the image itself."""
    stride, pad, _ = window
    return set(kernel) == {1} and set(stride) == {1} and set(pad) == {0}


def _parts(image: Array, weight: Array, output: Sizes, window: Window) -> Iterator[tuple[int, Array, Array]]:
    """Some channels at a time: the first, their part of the weights as a matrix, and memory for their columns."""
    taps, pixels, channels = math.prod(weight.shape[2:]), math.prod(output), weight.shape[1]
    matrix = weight.reshape(len(weight), -1)
    if _is_pixelwise(weight.shape[2:], window):
        yield 0, matrix, image.reshape(channels, pixels)
        return
    step = max(1, _COLUMNS // max(1, taps * pixels))
    for first in range(0, channels, step):
        part = matrix[:, first * taps : (first + step) * taps]
        memory = scratch("convolution_columns", part.shape[1] * pixels, image.dtype)
        yield first, part, memory.reshape(part.shape[1], pixels)


def _channels(image: Array, first: int, part: Array, weight: Array) -> Array:
    """The channels of the image that a part of the weights belongs to, as an image of a batch."""
    count = part.shape[1] // math.prod(weight.shape[2:])
    return image[None, first : first + count]


def _write(image: Array, columns: Array, first: int, part: Array, weight: Array, output: Sizes, window: Window) -> None:
    if not _is_pixelwise(weight.shape[2:], window):
        target = columns.reshape(1, len(columns), *output)
        im2col.forward(_channels(image, first, part, weight), target, weight.shape[2:], *window)
