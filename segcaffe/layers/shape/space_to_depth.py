"""SpaceToDepth: pixels become channels, in TensorFlow's order."""

from __future__ import annotations

from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.shape.rearranged import Order, Rearranged


@register
class SpaceToDepth(Rearranged):
    """block_size x block_size pixels become so many channels, (row, column, channel).

    bottom: by data_format "NHWC" (N, H, W, C), else (N, C, H, W);  top: H and W over the size, C times its square. From
    Synopsys' Caffe.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the size and the format."""
        options = self.param.space_to_depth_param
        self.size, self.format = options.block_size, options.data_format
        if self.size < 1:
            raise self.fail("block_size must be 1 or more.", self.size)

    def order(self, shape: tuple[int, ...]) -> Order:
        """By the format."""
        (n, *rest), s = self.four_axes(shape), self.size
        channels_last = self.format == "NHWC"
        h, w = rest[:2] if channels_last else rest[1:]
        c = rest[2] if channels_last else rest[0]
        rows, columns = self.divided(h, s, "the height"), self.divided(w, s, "the width")
        if channels_last:
            return Order((n, rows, s, columns, s, c), (0, 1, 3, 2, 4, 5), (n, rows, columns, c * s * s))
        return Order((n, c, rows, s, columns, s), (0, 3, 5, 1, 2, 4), (n, c * s * s, rows, columns))
