"""Permute: the bottom with its axes in another order."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register


@register
class Permute(Layer):
    """The bottom with its axes in another order.

    bottom: any shape;  top: axis i is the bottom's axis ``order[i]``. Axes that ``order`` leaves out follow as they
    stood. The layer comes from SSD (Liu et al., 2016).
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the order."""
        self.order = tuple(self.param.permute_param.order)
        if len(set(self.order)) < len(self.order):
            raise self.fail("permute_param.order names each axis once.", self.order)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Complete the order and permute the shape."""
        num_axes = bottom[0].ndim
        if max(self.order, default=0) >= max(num_axes, 1):
            raise self.fail(f"permute_param.order names axes of the bottom, which has {num_axes}.", self.order)
        self.axes = (*self.order, *(axis for axis in range(num_axes) if axis not in self.order))
        self._back = tuple(self.axes.index(axis) for axis in range(num_axes))
        top[0].reshape(*(bottom[0].shape[axis] for axis in self.axes))

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the values in the new order."""
        copy.copy(bottom[0].array.transpose(self.axes), top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Copy the gradient in the old order."""
        if propagate_down[0]:
            copy.copy(top[0].grad.transpose(self._back), bottom[0].grad)
