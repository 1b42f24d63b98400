"""What GRN and L2Normalization share: vectors divided by their length."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.device.mode import Array
from segcaffe.kernels import channelwise, elementwise, pixel_norm
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
        if self.layout[2] != 1:
            pixel_norm.forward(x, self._ones(), self._norm.array, y, Epsilon(self.eps))
            return
        # Each vector lies together: it is as a channel to `channelwise`.
        items = self._items()
        norm = self._norm.array.reshape(-1)
        channelwise.channel_dot(x.reshape(items), x.reshape(items), norm)
        norm[...] = self.xp.sqrt(norm + self.eps)
        channelwise.affine(x.reshape(items), 1 / norm, self.xp.zeros_like(norm), y.reshape(items))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """What of dy is at right angles to x, over the length."""
        if not propagate_down[0]:
            return
        x, dy, dx = (array.reshape(self.layout) for array in (bottom[0].array, top[0].grad, bottom[0].grad))
        if self.layout[2] != 1:
            pixel_norm.backward(x, self._ones(), self._norm.array, dy, dx)
            return
        items, norm = self._items(), self._norm.array.reshape(-1)
        dots, zeros, along = self.xp.empty_like(norm), self.xp.zeros_like(norm), self.xp.empty(items, self.dtype)
        channelwise.channel_dot(x.reshape(items), dy.reshape(items), dots)
        channelwise.affine(dy.reshape(items), 1 / norm, zeros, dx.reshape(items))
        channelwise.affine(x.reshape(items), dots / norm**3, zeros, along)
        elementwise.combine(dx, 1, along, -1, dx)

    def _ones(self) -> Array:
        return self.xp.ones(self.layout[1], self.dtype)

    def _items(self) -> tuple[int, int, int]:
        return 1, self.layout[0], self.layout[1]
