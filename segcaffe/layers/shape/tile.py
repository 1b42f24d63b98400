"""Tile: repeat the bottom along an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register


@register
class Tile(Layer):
    """The bottom, ``tiles`` times in a row along ``axis``.

    bottom: (..., D, ...);  top: (..., tiles·D, ...).
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the axis and the number of copies."""
        options = self.param.tile_param
        self.axis, self.tiles = options.axis, options.tiles
        if self.tiles < 1:
            raise self.fail("tile_param needs tiles, 1 or more.", self.tiles if options.HasField("tiles") else "none")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Multiply the axis's extent."""
        shape = bottom[0].shape
        axis = bottom[0].canonical_axis(self.axis, self.where)
        top[0].reshape(*shape[:axis], self.tiles * shape[axis], *shape[axis + 1 :])
        self._outer, self._inner = math.prod(shape[:axis]), math.prod(shape[axis:])

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy."""
        source = bottom[0].array.reshape(self._outer, 1, self._inner)
        copy.copy(source, top[0].array.reshape(self._outer, self.tiles, self._inner))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add the copies' gradients."""
        if propagate_down[0]:
            source = top[0].grad.reshape(self._outer, self.tiles, self._inner)
            copy.sum_copies(source, bottom[0].grad.reshape(self._outer, self._inner))
