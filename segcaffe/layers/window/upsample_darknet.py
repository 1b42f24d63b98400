"""UpsampleDarknet: Darknet's enlargement."""

from __future__ import annotations

from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.window.nearest import Repeated


@register
class UpsampleDarknet(Repeated):
    """Each pixel becomes stride x stride equal pixels.

    bottom: (..., H, W);  top: (..., H·stride, W·stride). From Synopsys' Caffe.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the stride."""
        stride = self.param.upsample_darknet_param.stride
        self.factors = (stride, stride)
        self.check_factors()
