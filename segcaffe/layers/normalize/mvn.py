"""MVN: zero mean and unit variance of each channel of each item."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segcaffe.kernels import batch_norm
from segcaffe.layers.base import Blobs, NeuronLayer
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class MVN(SavedInput, NeuronLayer):
    """Top = (x - mean) / (standard deviation + eps), or x - mean without normalize_variance.

    bottom: (N, C, ...); top: the same shape, also in place. The statistics are those of each channel of each item, or
    with across_channels of each item.

    The gradient takes the standard deviation without eps for the same as with it.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        param = self.param.mvn_param
        self.across_channels: bool = param.across_channels
        self.normalize_variance: bool = param.normalize_variance
        self.eps: float = param.eps
        if self.eps < 0:
            raise self.fail("eps must not be negative", f"{self.eps:g}")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Find the rows that share statistics."""
        super().reshape(bottom, top)
        shape = bottom[0].shape
        if not shape:
            raise self.fail("needs a batch axis: (N, ...)", "a scalar bottom")
        shared = 1 if self.across_channels else 2
        rows = math.prod(shape[:shared])
        self.layout = (1, rows, math.prod(shape[shared:]))
        self.mean, self.variance = (self.own_blob(name, (rows,), np.float64) for name in ("mean", "variance"))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Normalize."""
        self.save_input(bottom, top)
        x = bottom[0].array.reshape(self.layout)
        mean, variance = self.mean.array, self.variance.array
        batch_norm.moments(x, mean, variance)
        self.scale = self.xp.ones_like(mean)
        if self.normalize_variance:
            self.scale /= self.xp.sqrt(variance) + self.eps
        batch_norm.normalize(x, mean, self.scale, top[0].array.reshape(self.layout))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient of x, through mean and deviation."""
        if not propagate_down[0] or not bottom[0].count:
            return
        grad, out = top[0].grad.reshape(self.layout), bottom[0].grad.reshape(self.layout)
        if not self.normalize_variance:
            self.xp.subtract(grad, grad.mean(axis=2, keepdims=True), out=out)
            return
        x = self.saved_input(bottom).reshape(self.layout)
        batch_norm.backward(x, self.mean.array, self.scale, grad, out)
