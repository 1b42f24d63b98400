"""Convolution with few outputs: all taps of all outputs at every pixel by BLAS, and then each to its place.

Where a wide window of many channels makes few outputs, writing the image's columns costs more than the products with
them. The products of each tap with the image as it is are only ``outputs * taps`` planes, which are added up shifted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from segcaffe.kernels.convolution.end import End
from segcaffe.kernels.convolution.plan import Plan
from segcaffe.kernels.im2col import cpu as im2col
from segcaffe.kernels.matmul import cpu as matmul
from segcaffe.kernels.vector.scratch import scratch
from segcaffe.kernels.vector.tile import ROWS, STREAMS

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]
Window = tuple[Sizes, Sizes, Sizes]
"""Stride, pad, dilation."""

_SHIFT_CYCLES = 2.0
"""Cost in cycles of adding one product to its place."""
_BLAS = 1.3
"""Time of a product of matrices as BLAS computes it, in times of the processor's limit."""


def suits(plan: Plan, x: Array, weight: Array, window: Window) -> bool:
    """Whether forward, or the weights' gradient, is better done this way than by a plan."""
    stride, pad, dilation = window
    reach = [d * (k - 1) for k, d in zip(weight.shape[2:], dilation, strict=True)]
    if plan.layout.groups > 1 or set(stride) != {1} or any(p > r for p, r in zip(pad, reach, strict=True)):
        return False
    planes = weight.shape[0] * math.prod(weight.shape[2:])
    pixels = x.shape[0] * math.prod(x.shape[2:])
    products = weight.shape[1] * -(-planes // ROWS) * pixels / _lanes(plan)
    cycles = _BLAS * products + _SHIFT_CYCLES * planes * pixels
    return bool(0 < cycles < 0.8 * plan.cycles)


def forward(x: Array, weight: Array, end: End, out: Array, window: Window) -> None:
    """Overwrite ``out``."""
    matrix = np.ascontiguousarray(_flipped(weight).transpose(0, 2, 1)).reshape(-1, weight.shape[1])
    for image, result in zip(x, out, strict=True):
        planes = _planes(matrix, image)
        matmul.multiply(matrix, image.reshape(len(image), -1), planes)
        shifted = planes.reshape(1, len(planes), *image.shape[1:])
        im2col.backward(shifted, result[None], weight.shape[2:], *_reversed(weight, window))
        end.put_to_image(result)


def backward_weight(x: Array, grad_out: Array, grad_weight: Array, window: Window) -> None:
    """Add to ``grad_weight``."""
    outputs, channels = grad_weight.shape[:2]
    sums = np.zeros((grad_weight.size // channels, channels), x.dtype)
    for image, grad in zip(x, grad_out, strict=True):
        planes = _planes(sums, image)
        shifted = planes.reshape(1, len(planes), *image.shape[1:])
        im2col.forward(grad[None], shifted, grad_weight.shape[2:], *_reversed(grad_weight, window))
        matmul.multiply(planes, image.reshape(channels, -1), sums, trans_b=True, beta=1.0)
    target = _flipped(grad_weight)
    target += sums.reshape(outputs, -1, channels).transpose(0, 2, 1)


def _lanes(plan: Plan) -> float:
    """Multiply-adds per cycle of one row of a tile."""
    return 2 * plan.layout.strip / STREAMS / ROWS


def _flipped(weight: Array) -> Array:
    """The weights as (outputs, channels, taps), taps in reverse."""
    return weight.reshape(*weight.shape[:2], -1)[:, :, ::-1]


def _planes(matrix: Array, image: Array) -> Array:
    """Memory for one plane of the image's size for each row of a matrix."""
    pixels = image.size // len(image)
    return scratch("convolution_columns", len(matrix) * pixels, image.dtype).reshape(len(matrix), pixels)


def _reversed(weight: Array, window: Window) -> Window:
    """The window that takes output pixels to the image's, for taps in reverse."""
    stride, pad, dilation = window
    return stride, tuple(d * (k - 1) - p for k, p, d in zip(weight.shape[2:], pad, dilation, strict=True)), dilation
