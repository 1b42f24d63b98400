"""HoleConvolution: Convolution under the name that it has in PSPNet's files."""

from __future__ import annotations

from segcaffe.layers.dense.convolution import Convolution
from segcaffe.layers.registry import register


@register
class HoleConvolution(Convolution):
    """A Convolution; its dilation is the size of the holes.   [PSPNet: Zhao et al. 2017].

    bottom: x (N, C, spatial), any number of them;  top: y (N, num_output, spatial') each.
    param blobs: weight (num_output, C / group, kernel), bias (num_output).
    """

    options_field = "convolution_param"
