"""DepthwiseConvolution, under two names: a kernel of its own for each channel."""

from __future__ import annotations

from segcaffe.layers.dense.convolution import Convolution
from segcaffe.layers.registry import register


@register
class DepthwiseConvolution(Convolution):
    """A Convolution whose group, unless it is given, is the number of channels.   [Howard et al. 2017, MobileNet].

    bottom: x (N, C, spatial), any number of them;  top: y (N, num_output, spatial') each; num_output is C unless given.
    param blobs: weight (num_output, C / group, kernel), bias (num_output).
    """

    options_field = "convolution_param"

    def read_outputs(self) -> tuple[int, int]:
        """As many outputs and groups as channels, unless the options say otherwise."""
        options = self.param.convolution_param
        return options.num_output or self.channels, options.group if options.group > 1 else self.channels
