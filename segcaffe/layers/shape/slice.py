"""Slice: cut the bottom along an axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register
from segcaffe.threads import recording


@register
class Slice(Layer):
    """Consecutive parts of the bottom along ``axis`` (old name: slice_dim), cut at ``slice_point`` or evenly.

    bottom: (..., D, ...);  tops: (..., D_i, ...), the D_i adding up to D.
    """

    top_count = (1, None)
    backward_reads = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the axis and where to cut."""
        options = self.param.slice_param
        if options.HasField("axis") and options.HasField("slice_dim"):
            raise self.fail("give axis or slice_dim, not both.", f"{options.axis} and {options.slice_dim}")
        self.axis = options.slice_dim if options.HasField("slice_dim") else options.axis
        self.points = list(options.slice_point)
        if self.points and len(self.points) != len(top) - 1:
            raise self.fail(
                "give no slice_point, or one fewer than there are tops.",
                f"{len(self.points)} points for {len(top)} tops",
            )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Divide the axis among the tops."""
        shape = bottom[0].shape
        axis = bottom[0].canonical_axis(self.axis, self.where)
        extents = self._extents(shape[axis], len(top))
        for blob, extent in zip(top, extents, strict=True):
            blob.reshape(*shape[:axis], extent, *shape[axis + 1 :])
        inner = math.prod(shape[axis + 1 :])
        self._outer, self._widths = math.prod(shape[:axis]), [extent * inner for extent in extents]
        if len(top) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def _extents(self, total: int, tops: int) -> list[int]:
        if not self.points:
            if total % tops:
                raise self.fail(f"an extent of {total} cannot be cut evenly for {tops} tops; give slice_point.")
            return [total // tops] * tops
        bounds = [0, *self.points, total]
        extents = [after - before for before, after in itertools.pairwise(bounds)]
        if min(extents) <= 0:
            raise self.fail(f"slice_point must increase from above 0 to below the extent {total}.", self.points)
        return extents

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy each part."""
        if len(top) == 1:
            recording.nothing()
            return
        whole, start = bottom[0].array.reshape(self._outer, sum(self._widths)), 0
        for blob, width in zip(top, self._widths, strict=True):
            copy.copy(whole[:, start : start + width], blob.array.reshape(self._outer, width))
            start += width

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Join the gradients."""
        if len(top) == 1 or not propagate_down[0]:
            return
        whole, start = bottom[0].grad.reshape(self._outer, sum(self._widths)), 0
        for blob, width in zip(top, self._widths, strict=True):
            copy.copy(blob.grad.reshape(self._outer, width), whole[:, start : start + width])
            start += width
