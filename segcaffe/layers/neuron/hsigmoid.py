"""HSigmoid: the ramp of MobileNet v3."""

from __future__ import annotations

from segcaffe.layers.neuron.hard_sigmoid import Ramp
from segcaffe.layers.registry import register


@register
class HSigmoid(Ramp):
    """y = x/6 + 1/2, at least 0 and at most 1.   [Howard et al. 2019]."""

    ramp = 1 / 6, 0.5
