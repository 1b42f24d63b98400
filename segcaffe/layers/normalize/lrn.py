"""LRN: local response normalisation."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import lrn
from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2


@register
class LRN(Layer):
    """y = x / (k + alpha·m)^beta, m being the mean of x² over a region around x, with zeros outside the image.

    bottom: x (N, C, H, W);  top: y, same shape.
    The region is the local_size channels around x (norm_region ACROSS_CHANNELS), or local_size x local_size pixels of
    its channel (WITHIN_CHANNEL, where k is always 1). local_size is odd. Source: Krizhevsky et al. 2012.
    """

    keeps_channels = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the region and the constants."""
        options = self.param.lrn_param
        if options.local_size % 2 == 0:
            raise self.fail("local_size must be odd: a region has a centre.", f"local_size {options.local_size}")
        across = options.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS
        k = options.k if across else 1.0
        self.response = lrn.Response(options.local_size, options.alpha, options.beta, k, across)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape."""
        if bottom[0].ndim != 4:
            raise self.fail("the bottom must have 4 axes (N, C, H, W).", f"shape {bottom[0].shape}")
        top[0].reshape_like(bottom[0])
        self._scale = self.own_blob("scale", bottom[0].shape, saved=True)

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Normalise, keeping the scale."""
        lrn.forward(bottom[0].array, self._scale.array, top[0].array, self.response)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient through the value itself and through the regions that it lies in."""
        if propagate_down[0]:
            arrays = bottom[0].array, self._scale.array, top[0].array, top[0].grad, bottom[0].grad
            lrn.backward(*arrays, self.response)
