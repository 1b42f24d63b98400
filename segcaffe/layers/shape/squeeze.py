"""Squeeze: axes of extent 1 are left out."""

from __future__ import annotations

from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.shape.same_memory import SameMemory


@register
class Squeeze(SameMemory):
    """The bottom without the axes that ``axis`` names, or without all of extent 1.

    bottom: any shape;  top: the same memory. Negative axes count from the end. From Synopsys' Caffe.
    """

    def top_shape(self, bottom: Blobs) -> tuple[int, ...]:
        """Leave axes out."""
        shape, where = bottom[0].shape, self.where
        given = list(self.param.squeeze_param.axis)
        axes = {bottom[0].canonical_axis(axis, where) for axis in given}
        if any(shape[axis] != 1 for axis in axes):
            raise self.fail("only axes of extent 1 can be left out.", f"axis {given} of a bottom of shape {shape}")
        gone = axes if given else {axis for axis, extent in enumerate(shape) if extent == 1}
        return tuple(extent for axis, extent in enumerate(shape) if axis not in gone)
