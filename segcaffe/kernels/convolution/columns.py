"""Convolution with more weights than pixels: columns of the image, some channels at a time, through BLAS.

The loops of `blocks` pack the weights once and use them for every block of pixels. Where pixels are few that costs as
much as the products; BLAS then does better, and columns of so few pixels are small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from segcaffe.kernels.convolution.epilogue import Epilogue
from segcaffe.kernels.convolution.problem import Problem, Sizes
from segcaffe.kernels.im2col import cpu as im2col
from segcaffe.kernels.matmul import cpu as matmul
from segcaffe.kernels.vector.scratch import Bytes, scratch
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]

_FEW_PIXELS = 1024
FEWER_PIXELS = 256, 512
"""Fewer still: up to so many even 3x3 kernels are better computed so, forward and backward."""
MANY_WEIGHTS = 1 << 15
_WASTE = 1.5
"""Pixels that Winograd's method may compute for each that there is, where a dilation cuts an image into small ones."""
_LARGE, _MANY_PIXELS = 1 << 18, 1 << 14
"""Weights from which on few pixels, and pixels from which on single ones, are better computed so for the gradient."""
_FEW_ROWS = 32
_COLUMNS = 1 << 21
"""Elements of columns at a time."""


def is_better(problem: Problem, few_rows: bool = False) -> bool:
    """Whether this is better than blocks; with ``few_rows`` also of few outputs."""
    large = math.prod(problem.weight) >= MANY_WEIGHTS and (few_rows or problem.weight[0] >= _FEW_ROWS)
    return problem.group == 1 and problem.outputs <= _FEW_PIXELS and large


def is_better_than_winograd(problem: Problem, computed: int) -> bool:
    """Whether this is better than Winograd's method, for the gradient of x; that computes so many pixels."""
    few, some = FEWER_PIXELS
    return problem.outputs <= few or (problem.outputs <= some and computed > _WASTE * problem.outputs)


def is_better_for_gradient(problem: Problem) -> bool:
    """Whether this is better for the weights' gradient than blocks: of few pixels, or single ones of a large image."""
    if problem.group != 1 or problem.source[0] == 0 or min(problem.weight[:2]) < _FEW_ROWS:
        return False
    few = problem.outputs <= FEWER_PIXELS[1] and math.prod(problem.weight) >= _LARGE
    return few or (problem.target[0] == 1 and problem.is_pixelwise and problem.outputs >= _MANY_PIXELS)


@dataclass(frozen=True)
class _Columns:
    """What the three have in common: columns of some channels at a time."""

    problem: Problem

    def workspace(self) -> Bytes:
        """Columns, and in every thread what `matmul` packs where few columns are the right factor of a product."""
        problem, spatial = self.problem, (self.problem.source if self.problem.transposed else self.problem.target)[2:]
        pixels, itemsize = math.prod(spatial), problem.itemsize
        packed = matmul.packed_elements(pixels, f"f{itemsize}") * itemsize * parallel.num_threads()
        found = {"matmul": packed} if matmul.few(pixels) and not problem.gradient else {}
        if problem.is_pixelwise:
            return found
        channels = min(self._step(pixels), problem.weight[1])
        return found | {"convolution_columns": channels * problem.taps * pixels * itemsize}

    def _step(self, pixels: int) -> int:
        """Channels at a time."""
        return max(1, _COLUMNS // max(1, self.problem.taps * pixels))

    def _parts(self, image: Array, weight: Array, output: Sizes) -> Iterator[tuple[Array, Array, Array]]:
        """Some channels at a time: those of the image, their part of the weights as a matrix, and their columns."""
        taps, pixels, channels = self.problem.taps, math.prod(output), weight.shape[1]
        matrix = weight.reshape(len(weight), -1)
        if self.problem.is_pixelwise:
            yield image, matrix, image.reshape(channels, pixels)
            return
        step = self._step(pixels)
        for first in range(0, channels, step):
            part = matrix[:, first * taps : (first + step) * taps]
            memory = scratch("convolution_columns", part.shape[1] * pixels, image.dtype)
            yield image[first : first + step], part, memory.reshape(part.shape[1], pixels)

    def _write(self, channels: Array, columns: Array, output: Sizes) -> None:
        if not self.problem.is_pixelwise:
            target = columns.reshape(1, len(columns), *output)
            im2col.forward(channels[None], target, *self._window())

    def _window(self) -> tuple[Sizes, Sizes, Sizes, Sizes]:
        problem = self.problem
        return problem.kernel, problem.stride, problem.pad, problem.dilation


class Columns(_Columns):
    """The output."""

    def run(self, source: Array, weight: Array, epilogue: Epilogue, target: Array) -> None:
        """Overwrite ``target``."""
        for number, (image, result) in enumerate(zip(source, target, strict=True)):
            out = result.reshape(len(weight), -1)
            done = 0
            for channels, part, columns in self._parts(image, weight, result.shape[1:]):
                self._write(channels, columns, result.shape[1:])
                first, done = done == 0, done + part.size
                then = epilogue.of_image(number) if done == weight.size else None
                matmul.multiply(part, columns, out, beta=float(not first), then=then)


class ColumnsBack(_Columns):
    """The gradient of x."""

    def run(self, source: Array, weight: Array, epilogue: Epilogue, target: Array) -> None:
        """Overwrite ``target``."""
        for grad, image in zip(source, target, strict=True):
            matrix = grad.reshape(len(weight), -1)
            first = 0
            for channels, part, columns in self._parts(image, weight, grad.shape[1:]):
                if self.problem.is_pixelwise:
                    matmul.multiply(part, matrix, columns, trans_a=True, then=epilogue.calls)
                    continue
                matmul.multiply(part, matrix, columns, trans_a=True)
                im2col.backward(columns.reshape(1, len(columns), *grad.shape[1:]), channels[None], *self._window())
                epilogue.apply_to_image(channels, first)
                first += len(channels)


class ColumnGradient(_Columns):
    """The weights' gradient."""

    adds_bias = False
    overwrites = True

    def run(self, x: Array, grad_out: Array, grad_weight: Array, grad_bias: Array | None, beta: float) -> None:
        """Add to ``beta * grad_weight``."""
        for image, grad in zip(x, grad_out, strict=True):
            matrix = grad.reshape(len(grad_weight), -1)
            for channels, part, columns in self._parts(image, grad_weight, grad.shape[1:]):
                self._write(channels, columns, grad.shape[1:])
                matmul.multiply(matrix, columns, part, trans_b=True, beta=beta)
            beta = 1.0
