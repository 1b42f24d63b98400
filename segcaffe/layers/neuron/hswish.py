"""HSwish: another name of HardSwish."""

from __future__ import annotations

from segcaffe.layers.neuron.hard_swish import HardSwish
from segcaffe.layers.registry import register


@register
class HSwish(HardSwish):
    """As `HardSwish`."""
