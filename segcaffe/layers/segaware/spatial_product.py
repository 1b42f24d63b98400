"""SpatialProduct: all channels times one map."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.layers.views import planes


@register
class SpatialProduct(Layer):
    """y = x·s, the map s being the same for all channels.

    bottom: x (N, C, H, W), s (N, 1, H, W);  top: y (N, C, H, W).
    """

    dialects = "v2, deeplab"
    bottom_count = (2, 2)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that the map fits."""
        x, s = bottom[0].shape, bottom[1].shape
        if len(x) < 2 or s != (x[0], 1, *x[2:]):
            raise self.fail("the map must be (N, 1, H, W) for values (N, C, H, W).", f"map {s}, values {x}")
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Multiply."""
        self.xp.multiply(bottom[0].array, bottom[1].array, out=top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients s·dy, and x·dy summed over the channels."""
        dy = top[0].grad
        if propagate_down[0]:
            self.xp.multiply(dy, bottom[1].array, out=bottom[0].grad)
        if propagate_down[1]:
            x, dy = planes(bottom[0].array), planes(dy)
            bottom[1].grad = self.xp.einsum("nci,nci->ni", x, dy).reshape(bottom[1].shape)
