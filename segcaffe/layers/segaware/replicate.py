"""Replicate: copies of a blob side by side."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class Replicate(Layer):
    """The bottom num_copies times (default 2) one after another along ``axis`` (default 1).

    bottom: any shape;  top: the same but for ``axis``, which is num_copies times as long.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the number of copies."""
        self.copies = self.param.replicate_param.num_copies
        if self.copies < 1:
            raise self.fail("num_copies must be 1 or more.", f"num_copies {self.copies}")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Lengthen the axis."""
        shape = list(bottom[0].shape)
        self._axis = bottom[0].canonical_axis(self.param.replicate_param.axis, self.where)
        shape[self._axis] *= self.copies
        top[0].reshape(*shape)

    def _split(self, array: Array) -> Array:
        """Axes (before, copy, one copy from the axis on)."""
        before = 1
        for extent in array.shape[: self._axis]:
            before *= extent
        return array.reshape(before, self.copies, array.size // max(before * self.copies, 1))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy."""
        out = self._split(top[0].array)
        out[...] = bottom[0].array.reshape(out.shape[0], 1, -1) if out.size else 0

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Sum the gradients of the copies."""
        if propagate_down[0]:
            bottom[0].grad = self._split(top[0].grad).sum(1).reshape(bottom[0].shape)
