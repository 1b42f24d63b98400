"""ShuffleChannel: channels of groups are mixed."""

from __future__ import annotations

import math

from segcaffe.layers.registry import register
from segcaffe.layers.shape.rearranged import Order, Rearranged


@register
class ShuffleChannel(Rearranged):
    """Channel j of group i becomes channel i of group j.   [Zhang et al. 2017, ShuffleNet].

    bottom: (N, C, ...), C a multiple of ``group``;  top: the same shape.
    """

    def order(self, shape: tuple[int, ...]) -> Order:
        """(groups, channels of a group) transposed."""
        if len(shape) < 2:
            raise self.fail("needs a batch axis and a channel axis", f"shape {shape}")
        group = self.param.shuffle_channel_param.group
        rest = self.divided(shape[1], group, "the number of channels")
        return Order((shape[0], group, rest, math.prod(shape[2:])), (0, 2, 1, 3), shape)
