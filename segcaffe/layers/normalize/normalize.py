"""Normalize: features of length 1, times a learnt scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.device.mode import Array
from segcaffe.kernels import channelwise, pixel_norm
from segcaffe.kernels.pixel_norm import Epsilon
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.layers.views import planes
from segcaffe.proto import caffe_pb2


@register
class Normalize(Layer):
    """y = scale·x / sqrt(sum of x² + eps), the sum over the channels of a pixel, or across_spatial over an item.

    bottom: x (N, C, ...);  top: y of the same shape.
    param blobs: scale, () with channel_shared, else (C); 1 unless scale_filler says otherwise. Without
    add_eps_before_sqrt eps is added to the root instead. The layer comes from SSD (Liu et al., 2016; ParseNet).
    """

    options_field = "norm_param"
    backward_reads = ("bottoms",)

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """The scale."""
        return 1

    def takes_fewer(self, count: int) -> bool:
        """Caffes for recognising faces have a layer of this name without a scale, which is then 1."""
        return count == 0

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options and make the scale."""
        options = self.param.norm_param
        if bottom[0].ndim < 2:
            raise self.fail("needs a batch axis and a channel axis", f"shape {bottom[0].shape}")
        self.across_spatial: bool = options.across_spatial
        inside = options.add_eps_before_sqrt
        self.epsilon = Epsilon(options.eps, 0) if inside else Epsilon(0, options.eps)
        one = caffe_pb2.FillerParameter(type="constant", value=1)
        filler = options.scale_filler if options.HasField("scale_filler") else one
        self.add_parameter(() if options.channel_shared else bottom[0].shape[1:2], filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape."""
        shape = bottom[0].shape
        if self.blobs[0].ndim and shape[1] != self.blobs[0].count:
            raise self.fail(f"was set up for {self.blobs[0].count} channels.", f"a bottom of shape {shape}")
        top[0].reshape_like(bottom[0])
        positions = 1 if self.across_spatial else math.prod(shape[2:])
        self._norm = self.own_blob("norm", (shape[0], positions), saved=True)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Divide by the lengths, and scale."""
        x, y, scale = planes(bottom[0].array), planes(top[0].array), self._scale(bottom)
        if self.across_spatial:
            norm = self._norm.array
            norm[...] = self.xp.sqrt(self._dots(x, x).sum(1, keepdims=True) + self.epsilon.inside)
            norm += self.epsilon.outside
            self._affine(x, scale / norm, y)
        else:
            pixel_norm.forward(x, scale, self._norm.array, y, self.epsilon)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients of the scale (added to) and of x (overwritten)."""
        x, dy, scale, norm = planes(bottom[0].array), planes(top[0].grad), self._scale(bottom), self._norm.array
        dots = self._dots(x, dy) if self.across_spatial else None
        if self.wants_param(0):
            total = self.xp.empty_like(scale)
            if dots is None:
                pixel_norm.scale_grad(x, norm, dy, total)
            else:
                total[...] = (dots / norm).sum(0)
            self.blobs[0].grad[...] += total if self.blobs[0].ndim else total.sum()
        if not propagate_down[0]:
            return
        dx = planes(bottom[0].grad)
        if dots is None:
            pixel_norm.backward(x, scale, norm, dy, dx)
            return
        self._affine(dy, scale / norm, dx)
        along = self.xp.empty_like(x)
        self._affine(x, self.xp.broadcast_to((dots * scale).sum(1, keepdims=True) / norm**3, dots.shape), along)
        dx -= along

    def _scale(self, bottom: Blobs) -> Array:
        """The scale of each channel."""
        scale = self.blobs[0].array
        return scale if scale.ndim else self.xp.full(bottom[0].shape[1], scale, self.dtype)

    def _dots(self, a: Array, b: Array) -> Array:
        """Sums of a·b over the positions of each channel of each item, (N, C)."""
        items, channels, positions = a.shape
        view, out = (1, items * channels, positions), self.xp.empty(items * channels, self.dtype)
        channelwise.channel_dot(a.reshape(view), b.reshape(view), out)
        return out.reshape(items, channels)

    def _affine(self, x: Array, factors: Array, y: Array) -> None:
        """Set y to x times a factor for each channel of each item, (N, C)."""
        view = (1, factors.size, x.shape[2])
        flat = self.xp.ascontiguousarray(factors.reshape(-1))
        channelwise.affine(x.reshape(view), flat, self.xp.zeros_like(flat), y.reshape(view))
