"""Convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from segcaffe.blob import Blob
from segcaffe.blob.blocked import BlockedBlob
from segcaffe.kernels import convolution
from segcaffe.layers.base import Blobs, LayerMemory, recordable
from segcaffe.layers.dense.windowed import WindowedLayer, positions
from segcaffe.layers.registry import register
from segcaffe.window import Window


@register
class Convolution(WindowedLayer):
    """Sum over a window and all input channels of weight times input, plus bias.

    y[n, m, q] = bias[m] + sum over c, t of weight[m, c, t] * x[n, c, q * stride + t * dilation - pad]; x is 0 outside.

    bottom: x (N, C, spatial), any number of them;  top: y (N, num_output, spatial') each.
    param blobs: weight (num_output, C / group, kernel), bias (num_output).

    With bottom_is_im2col the bottom holds the columns already, (N, C * kernel, H, W) with channel c * taps + t, and
    the output has the bottom's size: kernel_size only shapes the weight. With groups, output channel m sees the
    C / group input channels of its own group.
    """

    backward_reads = ("bottoms",)
    half_weights = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options; bottom_is_im2col says that the bottom holds columns."""
        self.is_im2col: bool = self.param.convolution_param.bottom_is_im2col
        super().setup(bottom, top)

    def input_channels(self, extent: int) -> int:
        """Channels of the image, from the extent of the bottom's channel axis: fewer where the bottom is columns."""
        if not self.is_im2col:
            return extent
        if extent % self.window.taps:
            raise self.fail(
                f"with bottom_is_im2col the bottom's channels must be a multiple of the {self.window.taps} taps",
                f"{extent} channels",
            )
        return extent // self.window.taps

    def weight_shape(self) -> tuple[int, ...]:
        """(num_output, C / group, kernel)."""
        return (self.num_output, self.channels // self.group, *self.window.kernel)

    def output_spatial(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Number of windows on each axis; the bottom's size where the bottom is columns."""
        if not self.is_im2col:
            return self.window.output_shape(spatial)
        if min(spatial) < 1:
            raise self.fail("the columns must be of one window at least", f"{'x'.join(map(str, spatial))} of them")
        return spatial

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute each top from its bottom."""
        weight, epilogue = self._weight(self.wide_weight()), self.finish()
        for x, y in zip(bottom, top, strict=True):
            given, out = self._arrays(x, y)
            convolution.forward(given, weight, out=out, **epilogue, **self.options())

    def forward_sum(self, x: Blob, addend: Blob, total: Blob, negative_slope: Any) -> None:
        """Compute ``total``: the top of ``x`` plus ``addend``, rectified by a slope, or by one for each channel."""
        given = self.finish() | {"negative_slope": negative_slope, "addend": self.folded(addend.array)}
        weight, (source, out) = self._weight(self.wide_weight()), self._arrays(x, total)
        convolution.forward(source, weight, out=out, **given, **self.options())

    def _arrays(self, x: Blob, y: Blob) -> tuple[Any, Any]:
        """What is read and what is written, as kernels take it: channels in blocks where they lie so, or are to.

        With groups both do, or neither.
        """
        given = x.read_blocks() if isinstance(x, BlockedBlob) else None
        blocks = isinstance(y, BlockedBlob) and y.order.wanted > 1
        if self.group > 1 and (given is None or not blocks):
            given, blocks = None, False
        if not isinstance(y, BlockedBlob):
            out = self.folded(y.array)
        else:
            out = y.blocks_to_write() if blocks else y.planes_to_write()
        return self.folded(x.array) if given is None else given, out

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients of the bottoms (overwritten), of weight and bias (added to)."""
        self.epilogue.backward(top[0])
        weight = self._weight(self.blobs[0].array)
        for x, y, wanted in zip(bottom, top, propagate_down, strict=True):
            grad = self.folded(y.grad)
            self._backward_params(self.folded(x.array), grad)
            if wanted:
                convolution.backward_data(grad, weight, self.folded(x.grad), **self.options())

    def options(self) -> dict[str, Any]:
        """Window and group; columns are convolved by a window of one pixel."""
        if not self.is_im2col:
            return super().options()
        ones, zeros = (1,) * self.window.num_axes, (0,) * self.window.num_axes
        return {"window": Window(ones, ones, zeros, ones), "group": self.group}

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """Kernels need a workspace."""
        return replace(super().memory(bottom, top, backward), workspace=self.workspace(bottom, top, backward))

    def workspace(self, bottom: Blobs, top: Blobs, backward: bool) -> dict[str, int]:
        """Packed weights, blocks of the image, and the weights' gradient in parts."""
        from segcaffe.kernels.convolution.method import choose, choose_gradient
        from segcaffe.kernels.convolution.problem import Problem
        from segcaffe.kernels.vector.scratch import largest

        x, y = (self.folded_shape(blob.shape) for blob in (bottom[0], top[0]))
        weight = self.blobs[0].shape
        if self.is_im2col:
            weight = (weight[0], math.prod(weight[1:]), *(1,) * self.window.num_axes)
        problem = Problem.forward(x, weight, y, **self.options(), itemsize=self.dtype.itemsize)
        passes = [choose(problem).workspace()]
        if backward:
            passes.append(choose(problem.for_data()).workspace())
            passes.append(choose_gradient(problem.for_weight()).workspace())
        return largest(*passes)

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """One for each weight at each window."""
        return sum(positions(blob, self.axis) for blob in top) * self.blobs[0].count

    def _backward_params(self, x: Any, grad: Any) -> None:
        wants_bias = self.bias_term and self.wants_param(1)
        grad_bias = self.blobs[1].grad if wants_bias else None
        if self.wants_param(0):
            weight_grad, beta = self.blobs[0].grad_to_add_to()
            convolution.backward_weight(x, grad, self._weight(weight_grad), grad_bias, **self.options(), beta=beta)
        elif wants_bias:
            convolution.backward_bias(grad, grad_bias)

    def _weight(self, array: Any) -> Any:
        """The weight, or its gradient, as the kernel takes it: for columns (num_output, columns of a group, 1, 1)."""
        if not self.is_im2col:
            return array
        return array.reshape(self.num_output, -1, *(1,) * self.window.num_axes)
