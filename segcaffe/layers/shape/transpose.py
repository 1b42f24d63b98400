"""Transpose: the bottom with its axes in another order, as several Caffes of that layer have it."""

from __future__ import annotations

import math

from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.shape.rearranged import Order, Rearranged


@register
class Transpose(Rearranged):
    """With transpose_param: axis i of the top is the bottom's axis ``dim[i]``, which names each axis once.

    bottom: any shape;  top: its axes in another order. Without transpose_param the pixels of images (N, C, H, W) become
    rows (N H W, C, 1, 1), and the planes of volumes (N, C, D, H, W) images (N D, C, H, W).
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the order."""
        self.axes = tuple(self.param.transpose_param.dim)

    def order(self, shape: tuple[int, ...]) -> Order:
        """The order of the axes."""
        if self.axes or self.param.HasField("transpose_param"):
            if sorted(self.axes) != list(range(len(shape))):
                raise self.fail(f"transpose_param.dim must name each of the {len(shape)} axes once", self.axes)
            return Order(shape, self.axes, tuple(shape[axis] for axis in self.axes))
        if len(shape) == 4:
            items, channels, pixels = shape[0], shape[1], math.prod(shape[2:])
            return Order((items, channels, pixels), (0, 2, 1), (items * pixels, channels, 1, 1))
        if len(shape) == 5:
            return Order(shape, (0, 2, 1, 3, 4), (shape[0] * shape[2], shape[1], *shape[3:]))
        raise self.fail("needs transpose_param, or images (N, C, H, W), or volumes (N, C, D, H, W)", f"shape {shape}")
