"""Flatten: join a range of axes into one."""

from __future__ import annotations

import math

from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.shape.same_memory import SameMemory


@register
class Flatten(SameMemory):
    """The bottom with the axes ``axis`` to ``end_axis`` (both included) joined into one; by default all but axis 0.

    bottom: (D_0, ..., D_axis, ..., D_end_axis, ...);  top: (D_0, ..., D_axis·…·D_end_axis, ...), the same memory.
    """

    def top_shape(self, bottom: Blobs) -> tuple[int, ...]:
        """Multiply the extents of the joined axes."""
        options = self.param.flatten_param
        start = bottom[0].canonical_axis(options.axis, self.where)
        end = bottom[0].canonical_axis(options.end_axis, self.where, "end_axis") + 1
        if end <= start:
            raise self.fail(
                "end_axis must not come before axis.",
                f"axis {options.axis} and end_axis {options.end_axis} for a bottom of shape {bottom[0].shape}",
            )
        shape = bottom[0].shape
        return (*shape[:start], math.prod(shape[start:end]), *shape[end:])
