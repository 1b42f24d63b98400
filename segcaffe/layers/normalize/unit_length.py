"""What GRN and L2Normalization share: vectors divided by their length."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.device.mode import Array
from segcaffe.kernels import pixel_norm
from segcaffe.kernels.pixel_norm import Epsilon
from segcaffe.layers.base import Blobs, Layer


class UnitLength(Layer):
    """y = x / sqrt(sum of x² + eps), the sum over the axes that `axes` names, seen as one.

    bottom: (N, C, ...);  top: the same shape.
    """

    backward_reads = ("bottoms",)
    eps: float = 0.0

    def axes(self, ndim: int) -> tuple[int, int]:
        """The first axis of the sum, and the first behind it."""
        raise NotImplementedError

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape."""
        shape = bottom[0].shape
        if len(shape) < 2:
            raise self.fail("needs a batch axis and a channel axis", f"shape {shape}")
        top[0].reshape_like(bottom[0])
        first, last = self.axes(len(shape))
        self.layout = math.prod(shape[:first]), math.prod(shape[first:last]), math.prod(shape[last:])
        self._norm = self.own_blob("norm", (self.layout[0], self.layout[2]), saved=True)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Divide by the lengths."""
        x, y = (blob.array.reshape(self.layout) for blob in (bottom[0], top[0]))
        pixel_norm.forward(x, self._ones(), self._norm.array, y, Epsilon(self.eps))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """What of dy is at right angles to x, over the length."""
        if propagate_down[0]:
            x, dy, dx = (array.reshape(self.layout) for array in (bottom[0].array, top[0].grad, bottom[0].grad))
            pixel_norm.backward(x, self._ones(), self._norm.array, dy, dx)

    def _ones(self) -> Array:
        return self.xp.ones(self.layout[1], self.dtype)
