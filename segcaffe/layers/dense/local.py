"""Local: a convolution whose weights differ from pixel to pixel."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.device.mode import Array
from segcaffe.kernels import im2col
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2
from segcaffe.window import Window


@register
class Local(Layer):
    """Sum over a window and all channels of weight times input, with weights of its own at each pixel, plus bias.

    bottom: x (N, C, H, W);  top: y (N, num_output, H', W').
    param blobs: weight (num_output, 1, C·kernel_size², H'·W'), bias (1, 1, num_output, H'·W'). The locally connected
    layer of DeepFace (Taigman et al., 2014), as forks of Caffe have it.
    """

    draw_color = "#FF5050"
    backward_reads = ("bottoms",)

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """Weight, and bias with bias_term."""
        return 1 + param.local_param.bias_term

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the window; make weight and bias, for images of one size."""
        options = self.param.local_param
        if bottom[0].ndim != 4:
            raise self.fail("the bottom must have 4 axes (N, C, H, W).", f"shape {bottom[0].shape}")
        if min(options.num_output, options.kernel_size, options.stride) < 1:
            received = f"{options.num_output}, {options.kernel_size} and {options.stride}"
            raise self.fail("num_output, kernel_size and stride must be 1 or more.", received)
        kernel, stride, pad = ((size,) * 2 for size in (options.kernel_size, options.stride, options.pad))
        self.window = Window(kernel, stride, pad, (1, 1))
        self.num_output, self.bias_term, self.shape = options.num_output, options.bias_term, bottom[0].shape[1:]
        self.output = self.window.output_shape(self.shape[1:])
        pixels = self.output[0] * self.output[1]
        self.add_parameter((self.num_output, 1, self.shape[0] * self.window.taps, pixels), options.weight_filler)
        if self.bias_term:
            self.add_parameter((1, 1, self.num_output, pixels), options.bias_filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that images have the size that the weights are for."""
        if bottom[0].shape[1:] != self.shape:
            raise self.fail(f"has weights for images of shape {self.shape}.", f"a bottom of shape {bottom[0].shape}")
        top[0].reshape(bottom[0].shape[0], self.num_output, *self.output)
        weight = self.blobs[0].shape
        self._columns = self.own_blob("columns", (1, weight[2], *self.output))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Products of weights and columns, image by image."""
        weight = self._weight(self.blobs[0].array)
        for n in range(bottom[0].shape[0]):
            y = top[0].array[n].reshape(self.num_output, -1)
            self.xp.einsum("mkp,kp->mp", weight, self._columns_of(bottom[0].array[n : n + 1]), out=y)
            if self.bias_term:
                y += self.blobs[1].array.reshape(self.num_output, -1)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients of x (overwritten), of weight and bias (added to)."""
        weight = self._weight(self.blobs[0].array)
        for n in range(bottom[0].shape[0]):
            dy = top[0].grad[n].reshape(self.num_output, -1)
            if self.wants_param(0):
                columns = self._columns_of(bottom[0].array[n : n + 1])
                self._weight(self.blobs[0].grad)[...] += dy[:, None] * columns
            if self.bias_term and self.wants_param(1):
                self.blobs[1].grad.reshape(self.num_output, -1)[...] += dy
            if propagate_down[0]:
                columns = self._columns.array
                self.xp.einsum("mkp,mp->kp", weight, dy, out=columns.reshape(weight.shape[1:]))
                im2col.backward(columns, bottom[0].grad[n : n + 1], *self._sizes())

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """One for each weight and item."""
        return int(bottom[0].shape[0] * self.blobs[0].count)

    def _columns_of(self, image: Array) -> Array:
        im2col.forward(image, self._columns.array, *self._sizes())
        return self._columns.array.reshape(self.blobs[0].shape[2:])

    def _weight(self, array: Array) -> Array:
        return array.reshape(self.num_output, *self.blobs[0].shape[2:])

    def _sizes(self) -> tuple[tuple[int, ...], ...]:
        return self.window.kernel, self.window.stride, self.window.pad, self.window.dilation
