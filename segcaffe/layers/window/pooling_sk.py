"""PoolingSK: another name of Pooling."""

from __future__ import annotations

from segcaffe.layers.registry import register
from segcaffe.layers.window.pooling import Pooling


@register
class PoolingSK(Pooling):
    """As `Pooling`; ``kstride`` is its dilation.   [strided kernels: Li et al. 2014].

    bottom: (N, C, H, W);  top: (N, C, H', W'), and with MAX optionally the maxima's places, same shape.
    """
