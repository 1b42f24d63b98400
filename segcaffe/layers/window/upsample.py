"""Upsample: larger images."""

from __future__ import annotations

from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.window.nearest import Repeated


@register
class Upsample(Repeated):
    """Each pixel becomes scale x scale equal pixels (YOLO's Caffes).

    bottom: (..., H, W);  top: (..., H·scale, W·scale); scale is 2 unless given, or scale_h and scale_w.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the factors."""
        options = self.param.upsample_param
        apart = options.HasField("scale_h") and options.HasField("scale_w")
        self.factors = (options.scale_h, options.scale_w) if apart else (options.scale, options.scale)
        self.check_factors()
