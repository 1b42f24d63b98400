"""CReLU: rectified values and rectified negatives."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register


@register
class CReLU(Layer):
    """The channels of ReLU(x), then those of ReLU(-x).   [Shang et al. 2016].

    bottom: (N, C, ...);  top: (N, 2C, ...). relu_param.negative_slope is that of both.
    """

    options_field = "relu_param"
    draw_color = "#90EE90"
    backward_reads = ("bottoms",)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the slope."""
        self.slope: float = self.param.relu_param.negative_slope

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Double the channels."""
        shape = bottom[0].shape
        if len(shape) < 2:
            raise self.fail("needs a batch axis and a channel axis", f"shape {shape}")
        top[0].reshape(shape[0], 2 * shape[1], *shape[2:])

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Rectify both, item by item: each half of an item's channels lies together."""
        channels = bottom[0].shape[1]
        for x, y in zip(bottom[0].array, top[0].array, strict=True):
            elementwise.relu(x, self.slope, y[:channels])
            elementwise.linear(x, -1, 0, y[channels:])
            elementwise.relu(y[channels:], self.slope, y[channels:])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The first half's gradient less the second's, each where its values were positive."""
        if not propagate_down[0]:
            return
        channels = bottom[0].shape[1]
        for x, dx, dy in zip(bottom[0].array, bottom[0].grad, top[0].grad, strict=True):
            negative, passed = self.xp.empty_like(x), self.xp.empty_like(x)
            elementwise.linear(x, -1, 0, negative)
            elementwise.relu_grad(negative, dy[channels:], self.slope, passed)
            elementwise.relu_grad(x, dy[:channels], self.slope, dx)
            elementwise.combine(dx, 1, passed, -1, dx)
