"""ConvolutionDepthwise: another name of DepthwiseConvolution."""

from __future__ import annotations

from segcaffe.layers.dense.depthwise_convolution import DepthwiseConvolution
from segcaffe.layers.registry import register


@register
class ConvolutionDepthwise(DepthwiseConvolution):
    """A Convolution whose group, unless it is given, is the number of channels: `DepthwiseConvolution`.

    bottom: x (N, C, spatial), any number of them;  top: y (N, num_output, spatial') each; num_output is C unless given.
    param blobs: weight (num_output, C / group, kernel), bias (num_output).
    """

    options_field = "convolution_param"
