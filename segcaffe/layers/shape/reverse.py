"""Reverse: the last becomes the first."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class Reverse(Layer):
    """The bottom, turned round along each ``axis`` that is named; unless told along the first.

    bottom, top: any shape, the same one.
    """

    keeps_channels = True
    backward_reads = ()

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Find the axes."""
        axes = {bottom[0].canonical_axis(axis, self.where) for axis in self.param.reverse_param.axis or [0]}
        self._turned = tuple(slice(None, None, -1 if axis in axes else 1) for axis in range(bottom[0].ndim))
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy, turned round."""
        top[0].array[...] = bottom[0].array[self._turned]

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Copy back."""
        if propagate_down[0]:
            bottom[0].grad[...] = top[0].grad[self._turned]
