"""Im2col: windows of an image written out as channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from segcaffe.kernels import im2col
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto.window import Window


@register
class Im2col(Layer):
    """Writes the window around each position as channels.

    y[n, c * taps + t, q] = x[n, c, q * stride + t * dilation - pad]

    bottom: x (N, C, spatial), channels on convolution_param.axis (default 1) and 1 to 3 spatial axes behind it;
    top: y (N, C * taps, spatial'), taps of the kernel in row-major order, 0 where the window leaves the image.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the window."""
        param = self.param.convolution_param
        self.axis = bottom[0].canonical_axis(param.axis, self.where)
        num_spatial = bottom[0].ndim - self.axis - 1
        if not 1 <= num_spatial <= 3:
            raise self.fail(
                f"needs 1 to 3 spatial axes behind the channels, which are on axis {self.axis}.",
                f"a bottom of shape {bottom[0].shape}",
            )
        self.window = Window.from_convolution(param, num_spatial, self.where)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top a channel for each channel and tap."""
        shape = bottom[0].shape
        spatial = self.window.output_shape(shape[self.axis + 1 :])
        top[0].reshape(*shape[: self.axis], shape[self.axis] * self.window.taps, *spatial)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the windows."""
        im2col.forward(self._folded(bottom[0].array), self._folded(top[0].array), *self._sizes())

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Sum over the windows that hold a pixel."""
        if propagate_down[0]:
            im2col.backward(self._folded(top[0].grad), self._folded(bottom[0].grad), *self._sizes())

    def _sizes(self) -> tuple[tuple[int, ...], ...]:
        return self.window.kernel, self.window.stride, self.window.pad, self.window.dilation

    def _folded(self, array: Any) -> Any:
        """View an array as (N, C, spatial axes): all batch axes as one."""
        return array.reshape(math.prod(array.shape[: self.axis]), *array.shape[self.axis :])
