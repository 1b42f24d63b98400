"""What the layers over local windows share: a window, and images as four axes."""

from __future__ import annotations

import math

from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs, Layer
from segcaffe.window import Window


class LocalWindow(Layer):
    """A layer that slides the window of its convolution_param over (N, C, H, W).

    With ``convolution_param.axis`` the channels may be another axis than 1; two spatial axes follow it, and the axes
    before it together are the batch.
    """

    other_options = ("convolution_param",)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the window."""
        options = self.param.convolution_param
        self.axis = bottom[0].canonical_axis(options.axis, self.where)
        self._check_axes(bottom)
        self.window = Window.from_convolution(options, 2, self.where)

    def _check_axes(self, bottom: Blobs) -> None:
        if bottom[0].ndim != self.axis + 3:
            raise self.fail(
                f"two spatial axes must follow the channel axis {self.axis}; give an image (N, C, H, W), or set axis.",
                f"shape {bottom[0].shape}",
            )
        if min(bottom[0].shape[-2:]) < 1:
            raise self.fail("the image must have at least one pixel", f"shape {bottom[0].shape}")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """One channel for each tap of the window, the size of a convolution's output."""
        self._check_axes(bottom)
        shape = bottom[0].shape
        top[0].reshape(*shape[: self.axis], self.window.taps, *self.window.output_shape(shape[-2:]))

    @staticmethod
    def _images(array: Array) -> Array:
        return array.reshape(math.prod(array.shape[:-3]), *array.shape[-3:])
