"""Convolution with few outputs: all taps of all outputs at every pixel by BLAS, and then each to its place.

Where a wide window of many channels makes few outputs, writing the image's columns costs more than the products with
them. The products of each tap with the image as it is are only ``outputs * taps`` planes, which are added up shifted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe.kernels.convolution.epilogue import Epilogue
from segcaffe.kernels.convolution.plan import Plan
from segcaffe.kernels.convolution.problem import Problem, Sizes
from segcaffe.kernels.im2col import cpu as im2col
from segcaffe.kernels.matmul import cpu as matmul
from segcaffe.kernels.vector.scratch import Bytes, scratch
from segcaffe.kernels.vector.tile import ROWS, STREAMS

Array = np.ndarray[Any, Any]

_SHIFT_CYCLES = 2.0
"""Cost in cycles of adding one product to its place."""
_BLAS = 1.3
"""Time of a product of matrices as BLAS computes it, in times of the processor's limit."""


def is_better(problem: Problem, plan: Plan) -> bool:
    """Whether the output, or the weights' gradient, is better computed so than by blocks."""
    reach = [d * (k - 1) for k, d in zip(problem.kernel, problem.dilation, strict=True)]
    unstrided = problem.group == 1 and set(problem.stride) == {1}
    if not unstrided or any(p > r for p, r in zip(problem.pad, reach, strict=True)):
        return False
    planes = problem.weight[0] * problem.taps
    pixels = problem.source[0] * math.prod(problem.source[2:])
    # Multiply-adds per cycle of one row of a tile.
    lanes = 2 * plan.layout.strip / STREAMS / ROWS
    products = problem.weight[1] * -(-planes // ROWS) * pixels / lanes
    cycles = _BLAS * products + _SHIFT_CYCLES * planes * pixels
    return bool(0 < cycles < 0.8 * plan.cycles)


@dataclass(frozen=True)
class _Spread:
    problem: Problem

    def workspace(self) -> Bytes:
        """A plane for each tap of each output."""
        problem = self.problem
        planes = problem.weight[0] * problem.taps
        return {"convolution_columns": planes * math.prod(problem.source[2:]) * problem.itemsize}

    def _reversed(self) -> tuple[Sizes, Sizes, Sizes, Sizes]:
        """The window that takes output pixels to the image's, for taps in reverse."""
        kernel, stride, dilation = self.problem.kernel, self.problem.stride, self.problem.dilation
        pad = tuple(d * (k - 1) - p for k, p, d in zip(kernel, self.problem.pad, dilation, strict=True))
        return kernel, stride, pad, dilation


class Spread(_Spread):
    """The output."""

    def run(self, source: Array, weight: Array, epilogue: Epilogue, target: Array) -> None:
        """Overwrite ``target``."""
        matrix = np.ascontiguousarray(_flipped(weight).transpose(0, 2, 1)).reshape(-1, weight.shape[1])
        for number, (image, result) in enumerate(zip(source, target, strict=True)):
            planes = _planes(matrix, image)
            matmul.multiply(matrix, image.reshape(len(image), -1), planes)
            shifted = planes.reshape(1, len(planes), *image.shape[1:])
            im2col.backward(shifted, result[None], *self._reversed())
            epilogue.apply_to_image(result, image=number)


class SpreadGradient(_Spread):
    """The weights' gradient."""

    adds_bias = False
    overwrites = False

    def run(self, x: Array, grad_out: Array, grad_weight: Array, grad_bias: Array | None, beta: float) -> None:
        """Add to ``grad_weight``."""
        outputs, channels = grad_weight.shape[:2]
        sums = np.zeros((grad_weight.size // channels, channels), x.dtype)
        for image, grad in zip(x, grad_out, strict=True):
            planes = _planes(sums, image)
            shifted = planes.reshape(1, len(planes), *image.shape[1:])
            im2col.forward(grad[None], shifted, *self._reversed())
            matmul.multiply(planes, image.reshape(channels, -1), sums, trans_b=True, beta=1.0)
        target = _flipped(grad_weight)
        target += sums.reshape(outputs, -1, channels).transpose(0, 2, 1)

    def workspace(self) -> Bytes:
        """The planes, and sums of the weights' size."""
        return super().workspace() | {"convolution_gradient": math.prod(self.problem.weight) * self.problem.itemsize}


def _flipped(weight: Array) -> Array:
    """The weights as (outputs, channels, taps), taps in reverse."""
    return weight.reshape(*weight.shape[:2], -1)[:, :, ::-1]


def _planes(matrix: Array, image: Array) -> Array:
    """Memory for one plane of the image's size for each row of a matrix."""
    pixels = image.size // len(image)
    return scratch("convolution_columns", len(matrix) * pixels, image.dtype).reshape(len(matrix), pixels)
