"""ScaleFilter: channels scaled by chance."""

from __future__ import annotations

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs
from segcaffe.layers.neuron.channel_factors import ChannelFactors
from segcaffe.layers.registry import register


@register
class ScaleFilter(ChannelFactors):
    """TRAIN: each channel of each item times a factor drawn evenly from [min_scale, max_scale). TEST: y = x.

    bottom: (N, C, ...);  top: the same shape. From OpenVINO's training.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the interval."""
        super().setup(bottom, top)
        options = self.param.scale_filter_param
        self.low, self.high = options.min_scale, options.max_scale
        if not 0 < self.low < self.high:
            rule = "scale_filter_param needs min_scale above 0 and max_scale above that."
            raise self.fail(rule, f"{self.low:g} and {self.high:g}")

    def draw(self, count: int) -> Array:
        """Evenly."""
        drawn: Array = device.generator().uniform(self.low, self.high, count)
        return drawn
