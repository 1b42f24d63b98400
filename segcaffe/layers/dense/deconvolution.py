"""Deconvolution."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import convolution
from segcaffe.layers.base import Blobs, recordable
from segcaffe.layers.dense.windowed import WindowedLayer, positions
from segcaffe.layers.registry import register


@register
class Deconvolution(WindowedLayer):
    """Each input pixel adds its weighted kernel to the output: a convolution's gradient used as a forward pass.

    y[n, m, q * stride + t * dilation - pad] += weight[c, m, t] * x[n, c, q], plus bias[m].

    bottom: x (N, C, spatial), any number of them;  top: y (N, num_output, spatial') each, with
    spatial' = stride * (spatial - 1) + dilation * (kernel - 1) + 1 - 2 * pad.
    param blobs: weight (C, num_output / group, kernel), bias (num_output).
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        if self.param.convolution_param.bottom_is_im2col:
            raise self.fail("bottom_is_im2col is an option of Convolution; a Deconvolution's bottom is an image.")
        super().setup(bottom, top)

    def weight_shape(self) -> tuple[int, ...]:
        """(C, num_output / group, kernel)."""
        return (self.channels, self.num_output // self.group, *self.window.kernel)

    def images(self, bottom: Blobs, top: Blobs) -> Blobs:
        """The tops: a deconvolution goes the other way."""
        return top

    def output_spatial(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Size that a convolution of these options would turn into ``spatial``."""
        return self.window.input_shape(spatial)

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute each top from its bottom."""
        weight, epilogue = self.blobs[0].array, self.finish()
        for x, y in zip(bottom, top, strict=True):
            convolution.backward_data(self.folded(x.array), weight, self.folded(y.array), **epilogue, **self.options())

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients of the bottoms (overwritten), of weight and bias (added to)."""
        self.epilogue.backward(top[0])
        weight = self.blobs[0].array
        for x, y, wanted in zip(bottom, top, propagate_down, strict=True):
            grad = self.folded(y.grad)
            if self.bias_term and self.wants_param(1):
                convolution.backward_bias(grad, self.blobs[1].grad)
            if self.wants_param(0):
                convolution.backward_weight(grad, self.folded(x.array), self.blobs[0].grad, None, **self.options())
            if wanted:
                convolution.forward(grad, weight, None, self.folded(x.grad), **self.options())

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """One for each weight at each input pixel."""
        return sum(positions(blob, self.axis) for blob in bottom) * self.blobs[0].count
