"""Im2col: windows of an image written out as channels."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import im2col
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.sliding_window import SlidingWindow


@register
class Im2col(SlidingWindow):
    """Writes the window around each position as channels.

    y[n, c * taps + t, q] = x[n, c, q * stride + t * dilation - pad]

    bottom: x (N, C, spatial), channels on convolution_param.axis (default 1) and 1 to 3 spatial axes behind it;
    top: y (N, C * taps, spatial'), taps of the kernel in row-major order, 0 where the window leaves the image.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the window."""
        self.read_window(bottom)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top a channel for each channel and tap."""
        shape = bottom[0].shape
        spatial = self.window.output_shape(shape[self.axis + 1 :])
        top[0].reshape(*shape[: self.axis], shape[self.axis] * self.window.taps, *spatial)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the windows."""
        im2col.forward(self.folded(bottom[0].array), self.folded(top[0].array), *self._sizes())

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Sum over the windows that hold a pixel."""
        if propagate_down[0]:
            im2col.backward(self.folded(top[0].grad), self.folded(bottom[0].grad), *self._sizes())

    def _sizes(self) -> tuple[tuple[int, ...], ...]:
        return self.window.kernel, self.window.stride, self.window.pad, self.window.dilation
