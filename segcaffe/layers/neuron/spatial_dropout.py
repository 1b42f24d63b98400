"""SpatialDropout: dropout of whole channels."""

from __future__ import annotations

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs
from segcaffe.layers.neuron.channel_factors import ChannelFactors
from segcaffe.layers.registry import register


@register
class SpatialDropout(ChannelFactors):
    """TRAIN: a channel of an item is 0 with probability dropout_ratio, else x / (1 - dropout_ratio). TEST: y = x.

    bottom: (N, C, ...);  top: the same shape. Intel's Caffe writes the ratio in spatial_dropout_param or dropout_param,
    ENet's in dropout_param.   [Tompson et al. 2015].
    """

    options_field = "dropout_param"
    other_options = ("spatial_dropout_param",)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the ratio."""
        super().setup(bottom, top)
        own = self.param.HasField("spatial_dropout_param")
        options = self.param.spatial_dropout_param if own else self.param.dropout_param
        self.ratio: float = options.dropout_ratio
        if not 0 <= self.ratio < 1:
            raise self.fail("dropout_ratio must be at least 0 and less than 1.", f"{self.ratio:g}")

    def draw(self, count: int) -> Array:
        """0, or what makes up for what is dropped."""
        kept: Array = device.generator().random(count) >= self.ratio
        return kept / (1 - self.ratio)
