"""NospConvMeanfield: NormConvMeanfield without the spatial window."""

from __future__ import annotations

from segcaffe.layers.registry import register
from segcaffe.layers.segaware.norm_conv_meanfield import WindowMeanfield


@register
class NospConvMeanfield(WindowMeanfield):
    """Mean-field inference with one window, weighted by distances in a guide.

    bottom: unary (N, C, H, W), first q (N, C, H, W), guide (N, E, H, W);  top: (N, C, H, W), scores without a softmax.
    Options (norm_conv_meanfield_param) are given once. Parameters: bilateral, compat, each (1, 1, C, C).
    """

    bottom_count = (3, 3)
    num_filters = 1
    guides = (2,)
    options_of = (0,)
