"""Reduction: sums over the last axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.kernels import channelwise, copy, elementwise
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2

Options = caffe_pb2.ReductionParameter


@register
class Reduction(Layer):
    """coeff times the sum, mean, sum of absolute values or of squares over ``axis`` and all axes after it.

    bottom: (..., D, ...);  top: the axes before ``axis``.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the operation."""
        options = self.param.reduction_param
        self.axis, self.operation, self.coeff = options.axis, options.operation, options.coeff

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Keep the axes in front."""
        axis = bottom[0].canonical_axis(self.axis, self.where) if bottom[0].ndim else 0
        shape = bottom[0].shape
        top[0].reshape(*shape[:axis])
        size = math.prod(shape[axis:])
        self._view = (1, math.prod(shape[:axis]), size)
        if self.operation == Options.ASUM:
            self._sizes = self.own_blob("sizes", self._view)
        self._factor = self.coeff / max(size, 1) if self.operation == Options.MEAN else self.coeff

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Add up."""
        x, y = bottom[0].array.reshape(self._view), top[0].array.reshape(-1)
        if self.operation == Options.SUMSQ:
            channelwise.channel_dot(x, x, y)
        elif self.operation == Options.ASUM:
            elementwise.absolute(x, self._sizes.array)
            channelwise.channel_sum(self._sizes.array, y)
        else:
            channelwise.channel_sum(x, y)
        y *= self._factor

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Spread each sum's gradient over its terms."""
        if not propagate_down[0]:
            return
        x, dx = bottom[0].array.reshape(self._view), bottom[0].grad.reshape(self._view)
        dy = top[0].grad.reshape(-1) * self._factor
        if self.operation == Options.SUMSQ:
            channelwise.affine(x, 2 * dy, self.xp.zeros_like(dy), dx)
        elif self.operation == Options.ASUM:
            spread = self._sizes.array
            copy.copy(dy[None, :, None], spread)
            elementwise.multiply_sign(spread, x, 1.0, dx)
        else:
            copy.copy(dy[None, :, None], dx)
