"""Normalize: features of length 1, times a learnt scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.device.mode import Array
from segcaffe.kernels import channelwise, copy, pixel_norm
from segcaffe.kernels.pixel_norm import Epsilon
from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.views import planes
from segcaffe.proto import caffe_pb2
from segcaffe.threads import recording


@register
class Normalize(Layer):
    """y = scale·x / sqrt(sum of x² + eps), the sum over the channels of a pixel, or across_spatial over an item.

    bottom: x (N, C, ...);  top: y of the same shape.
    param blobs: scale, () with channel_shared, else (C); 1 unless scale_filler says otherwise. Without
    add_eps_before_sqrt eps is added to the root instead. The layer comes from SSD (Liu et al., 2016; ParseNet).

    With normalize_param, or a second top, it is that of a Caffe for faces: pixel by pixel, eps 1e-6, no scale; the
    second top is the lengths (N, 1, ...), through which gradients go with bp_norm.
    """

    options_field = "norm_param"
    other_options = ("normalize_param",)
    top_count = (1, 2)
    backward_reads = ("bottoms",)

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """The scale, where there is one."""
        return int(not _is_for_faces(param))

    def takes_fewer(self, count: int) -> bool:
        """Files of Caffes for faces may have no scale, which is then 1."""
        return count == 0

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options and make the scale."""
        if bottom[0].ndim < 2:
            raise self.fail("needs a batch axis and a channel axis", f"shape {bottom[0].shape}")
        if _is_for_faces(self.param):
            self._read_face_options()
            return
        options = self.param.norm_param
        self.across_spatial: bool = options.across_spatial
        inside = options.add_eps_before_sqrt
        self.epsilon = Epsilon(options.eps, 0) if inside else Epsilon(0, options.eps)
        one = caffe_pb2.FillerParameter(type="constant", value=1)
        filler = options.scale_filler if options.HasField("scale_filler") else one
        self.add_parameter(() if options.channel_shared else bottom[0].shape[1:2], filler)

    def _read_face_options(self) -> None:
        options = self.param.normalize_param
        if options.normalize_type != "L2" or options.fix_gradient:
            rule = "normalize_param takes normalize_type L2 without fix_gradient."
            raise self.fail(rule, str(options).replace("\n", " ").strip())
        self.across_spatial, self.epsilon = False, Epsilon(1e-6)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the bottom's shape."""
        shape = bottom[0].shape
        if len(self.blobs) and self.blobs[0].ndim and shape[1] != self.blobs[0].count:
            raise self.fail(f"was set up for {self.blobs[0].count} channels.", f"a bottom of shape {shape}")
        top[0].reshape_like(bottom[0])
        # Of one position, both are the same, and items are longer than pixels.
        self._by_items = self.across_spatial or math.prod(shape[2:]) == 1
        positions = 1 if self._by_items else math.prod(shape[2:])
        self._norm = self.own_blob("norm", (shape[0], positions), saved=True)
        if len(top) == 2:
            top[1].reshape(shape[0], 1, *shape[2:])

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Divide by the lengths, and scale."""
        x, y, scale = planes(bottom[0].array), planes(top[0].array), self._scale(bottom)
        if self._by_items:
            recording.refuse()
            norm = self._norm.array
            norm[...] = self.xp.sqrt(self._dots(x, x).sum(1, keepdims=True) + self.epsilon.inside)
            norm += self.epsilon.outside
            self._affine(x, scale / norm, y)
        else:
            pixel_norm.forward(x, scale, self._norm.array, y, self.epsilon)
        if len(top) == 2:
            copy.copy(self._norm.array, top[1].array.reshape(self._norm.shape))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradients of the scale (added to) and of x (overwritten)."""
        x, dy, scale, norm = planes(bottom[0].array), planes(top[0].grad), self._scale(bottom), self._norm.array
        dots = self._dots(x, dy) if self._by_items else None
        if len(self.blobs) and self.wants_param(0):
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
        else:
            self._affine(dy, scale / norm, dx)
            along = self.xp.empty_like(x)
            self._affine(x, self.xp.broadcast_to((dots * scale).sum(1, keepdims=True) / norm**3, dots.shape), along)
            dx -= along
        if len(top) == 2 and self.param.normalize_param.bp_norm:
            dx += x * (top[1].grad.reshape(norm.shape) / norm)[:, None]

    def _scale(self, bottom: Blobs) -> Array:
        """The scale of each channel."""
        channels = bottom[0].shape[1]
        if not len(self.blobs):
            return self.xp.ones(channels, self.dtype)
        scale = self.blobs[0].array
        return scale if scale.ndim else self.xp.full(channels, scale, self.dtype)

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


def _is_for_faces(param: caffe_pb2.LayerParameter) -> bool:
    return param.HasField("normalize_param") or len(param.top) == 2
