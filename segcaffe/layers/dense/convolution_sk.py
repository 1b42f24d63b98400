"""ConvolutionSK: another name of Convolution."""

from __future__ import annotations

from segcaffe.layers.dense.convolution import Convolution
from segcaffe.layers.registry import register


@register
class ConvolutionSK(Convolution):
    """As `Convolution`; ``kstride`` is its dilation.   [strided kernels: Li et al. 2014].

    bottom: x (N, C, spatial), any number of them;  top: y (N, num_output, spatial') each.
    param blobs: weight (num_output, C / group, kernel), bias (num_output).
    """
