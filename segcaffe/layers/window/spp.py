"""SPP: spatial pyramid pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows
from segcaffe.layers.window.pooling import Pooling
from segcaffe.proto import caffe_pb2
from segcaffe.window import MOST_PIXELS

_MOST_LEVELS = 21
"""The last divides each side into as many windows as the largest image has pixels."""


@register
class SPP(Layer):
    """Pools the image at several resolutions into one vector, whose length does not depend on the image's size.

    bottom: (N, C, H, W);  top: (N, C·(1 + 4 + … + 4^(L-1))) for pyramid_height L, (N, C, 1, 1) for L = 1.
    Level l pools windows of ceil(H / 2^l) x ceil(W / 2^l), side by side, the image in the middle of them. Source: He
    et al. 2014.
    """

    other_options = ("pooling_param",)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the number of levels."""
        self.levels = self.param.spp_param.pyramid_height
        self.check_range("pyramid_height, the number of levels,", self.levels, 1, _MOST_LEVELS)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Make a pooling layer for each level that fits the bottom."""
        if bottom[0].ndim != 4 or min(bottom[0].shape[2:]) < 1:
            raise self.fail("the bottom must have 4 axes (N, C, H, W), none empty.", f"shape {bottom[0].shape}")
        if max(bottom[0].shape[2:]) > MOST_PIXELS:
            raise self.fail(f"the image must have {MOST_PIXELS} pixels at most on every axis", f"{bottom[0].shape}")
        self._image = self.own_blob("image", bottom[0].shape)
        self._pooled = [self.own_blob(f"level {i}", ()) for i in range(self.levels)]
        self.poolings = [self._pooling(level, *bottom[0].shape[2:]) for level in range(self.levels)]
        for level, (pooling, out) in enumerate(zip(self.poolings, self._pooled, strict=True)):
            pooling.setup([self._image], [out])
            pooling.reshape([self._image], [out])
            self.saved_blobs |= {f"{name} {level}": blob for name, blob in pooling.saved_blobs.items()}
        self.backward_reads, self.recomputes = self.poolings[0].backward_reads, self.poolings[0].recomputes
        num, length = bottom[0].shape[0], sum(math.prod(blob.shape[1:]) for blob in self._pooled)
        if self.levels == 1:
            top[0].reshape_like(self._pooled[0])
        else:
            top[0].reshape(num, length)

    def _pooling(self, level: int, height: int, width: int) -> Pooling:
        param = caffe_pb2.LayerParameter(name=self.name, type=self.type)
        options = param.pooling_param
        method = caffe_pb2.SPPParameter.PoolMethod.Name(self.param.spp_param.pool)
        options.pool = getattr(caffe_pb2.PoolingParameter, method)
        bins = 2**level
        options.kernel_h = options.stride_h = -(-height // bins)
        options.kernel_w = options.stride_w = -(-width // bins)
        options.pad_h = (options.kernel_h * bins - height + 1) // 2
        options.pad_w = (options.kernel_w * bins - width + 1) // 2
        if options.pad_h >= options.kernel_h or options.pad_w >= options.kernel_w:
            received = f"pyramid_height {self.levels}, image {height} x {width}"
            raise self.fail(f"the image is too small to be divided into {bins} x {bins} windows.", received)
        return Pooling(param, self.phase, self.dtype)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Pool each level, coarse to fine."""
        vector = rows(top[0].array)
        self._image.share_data(bottom[0])
        first = 0
        for pooling, out in zip(self.poolings, self._pooled, strict=True):
            pooling.forward([self._image], [out])
            last = first + math.prod(out.shape[1:])
            vector[:, first:last] = rows(out.array)
            first = last

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Sum the gradients of the levels."""
        if not propagate_down[0]:
            return
        vector = rows(top[0].grad)
        bottom[0].grad = 0
        self._image.share_data(bottom[0])
        first = 0
        for pooling, out in zip(self.poolings, self._pooled, strict=True):
            last = first + math.prod(out.shape[1:])
            out.grad = vector[:, first:last].reshape(out.shape)
            pooling.backward([out], [True], [self._image])
            bottom[0].grad[...] += self._image.grad
            first = last
