"""Concat: join bottoms along an axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer, LayerMemory, recordable
from segcaffe.layers.registry import register
from segcaffe.threads import recording


@register
class Concat(Layer):
    """The bottoms one after the other along ``axis`` (old name: concat_dim).

    bottoms: shapes equal but for that axis;  top: their extents added.
    """

    bottom_count = (1, None)
    backward_reads = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the axis."""
        options = self.param.concat_param
        if options.HasField("axis") and options.HasField("concat_dim"):
            raise self.fail("give axis or concat_dim, not both.", f"{options.axis} and {options.concat_dim}")
        self.axis = options.concat_dim if options.HasField("concat_dim") else options.axis

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the other axes and add the extents."""
        first = bottom[0].shape
        axis = bottom[0].canonical_axis(self.axis, self.where)
        for i, blob in enumerate(bottom):
            if (
                blob.ndim != len(first)
                or (*blob.shape[:axis], *blob.shape[axis + 1 :]) != first[:axis] + first[axis + 1 :]
            ):
                raise self.fail(
                    f"the bottoms' shapes may differ in axis {axis} only.", f"{first} for 0 and {blob.shape} for {i}"
                )
        extents = [blob.shape[axis] for blob in bottom]
        top[0].reshape(*first[:axis], sum(extents), *first[axis + 1 :])
        inner = math.prod(first[axis + 1 :])
        self._outer, self._widths = math.prod(first[:axis]), [extent * inner for extent in extents]
        if len(bottom) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])

    def _starts(self) -> list[int]:
        """Where each bottom begins in an item of the top, in elements."""
        return list(itertools.accumulate(self._widths[:-1], initial=0))

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy each bottom to its place, unless a memory plan has put it there."""
        recording.nothing()
        if len(bottom) == 1:
            return
        joined = top[0].array.reshape(self._outer, sum(self._widths))
        starts = self._starts()
        places = [blob.buffer("data").place_in(top[0].buffer("data")) for blob in bottom]
        there = [self._outer == 1 and place == start for place, start in zip(places, starts, strict=True)]
        # After a change of shape a bottom may lie in the top at another place, where others will be written.
        moved = [place is not None and not fits for place, fits in zip(places, there, strict=True)]
        if any(moved):
            recording.refuse()
        sources = [blob.array.copy() if moves else blob.array for blob, moves in zip(bottom, moved, strict=True)]
        for source, start, width, fits in zip(sources, starts, self._widths, there, strict=True):
            if not fits:
                copy.copy(source.reshape(self._outer, width), joined[:, start : start + width])

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """Bottoms that are not interleaved can be made in the top's memory."""
        joins = tuple(self._starts()) if len(bottom) > 1 and self._outer == 1 else ()
        return replace(super().memory(bottom, top, backward), joins=joins)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Copy the gradients back."""
        if len(bottom) == 1:
            return
        joined, start = top[0].grad.reshape(self._outer, sum(self._widths)), 0
        for blob, width, wanted in zip(bottom, self._widths, propagate_down, strict=True):
            if wanted:
                copy.copy(joined[:, start : start + width], blob.grad.reshape(self._outer, width))
            start += width
