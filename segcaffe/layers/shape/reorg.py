"""Reorg: Darknet's exchange of space for channels."""

from __future__ import annotations

from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.shape.rearranged import Order, Rearranged


@register
class Reorg(Rearranged):
    """stride x stride pixels become channels, in Darknet's order; with ``reverse`` channels become pixels.

    bottom: (N, C, H, W);  top: (N, C·s², H/s, W/s), or with reverse (N, C/s², H·s, W·s).

    Darknet reads the bottom's memory as an image (C/s², H·s, W·s), whatever its shape is, and makes channels of that
    image's pixels; so neighbours in the top need not have been neighbours. The stride is 2 unless given. Source: Redmon
    and Farhadi 2017 (YOLO v2).
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the stride."""
        options = self.param.reorg_param
        self.stride, self.reverse = options.stride if options.HasField("stride") else 2, options.reverse
        if self.stride < 1:
            raise self.fail("the stride must be 1 or more.", self.stride)

    def order(self, shape: tuple[int, ...]) -> Order:
        """From pixels (row, row in a cell, column, column in a cell) to channels of cells, or back."""
        (n, c, h, w), s = self.four_axes(shape), self.stride
        if self.reverse:
            channels = self.divided(c, s * s, "the number of channels")
            return Order((n, s, s, channels, h, w), (0, 3, 4, 1, 5, 2), (n, channels, h * s, w * s))
        height, width = self.divided(h, s, "the height"), self.divided(w, s, "the width")
        rows = self.divided(c * h, s * s, "channels times height")
        return Order((n, rows, s, w, s), (0, 2, 4, 1, 3), (n, c * s * s, height, width))
