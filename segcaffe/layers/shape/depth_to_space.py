"""DepthToSpace: channels become pixels, in TensorFlow's and ONNX's orders."""

from __future__ import annotations

from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.shape.rearranged import Order, Rearranged


@register
class DepthToSpace(Rearranged):
    """block_size x block_size channels become so many pixels.

    bottom: by data_format "NHWC" (N, H, W, C), else (N, C, H, W);  top: H and W times the size, C over its square.
    The channels are (row, column, channel) with NHWC, NCHW and DCR, (channel, row, column) with CRD. From Synopsys'
    Caffe.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the size and the format."""
        options = self.param.depth_to_space_param
        self.size, self.format = options.block_size, options.data_format
        if self.size < 1:
            raise self.fail("block_size must be 1 or more.", self.size)
        if self.format not in ("NHWC", "NCHW", "DCR", "CRD"):
            raise self.fail("data_format is NHWC, NCHW, DCR or CRD.", self.format)

    def order(self, shape: tuple[int, ...]) -> Order:
        """By the format."""
        (n, *rest), s = self.four_axes(shape), self.size
        if self.format == "NHWC":
            h, w, c = rest
            depth = self.divided(c, s * s, "the number of channels")
            return Order((n, h, w, s, s, depth), (0, 1, 3, 2, 4, 5), (n, h * s, w * s, depth))
        c, h, w = rest
        depth = self.divided(c, s * s, "the number of channels")
        top = (n, depth, h * s, w * s)
        if self.format == "CRD":
            return Order((n, depth, s, s, h, w), (0, 1, 4, 2, 5, 3), top)
        return Order((n, s, s, depth, h, w), (0, 3, 4, 1, 5, 2), top)
