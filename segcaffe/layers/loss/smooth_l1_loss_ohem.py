"""SmoothL1LossOHEM: smooth L1 loss with the loss of each position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.loss.normalization import normalization_mode, normalizer
from segcaffe.layers.loss.smooth_l1_loss import four_axes
from segcaffe.layers.registry import register


@register
class SmoothL1LossOHEM(Layer):
    """Loss = sum of f(w (a - b)) over a divisor, with f(x) = x^2 / 2 for |x| < 1, |x| - 1/2 beyond.

    bottoms: a, b, optionally the weights w, all (N, C, H, W) or (N, C), but for axes of 1 at the end.
    tops: scalar; optionally the loss of each position, (N, 1, H, W), of as many axes as b.

    Normalization VALID and FULL divide by N H W, BATCH_SIZE by N.   [R-FCN: Dai et al., NIPS 2016].
    """

    options_field = "loss_param"
    bottom_count = (2, 3)
    top_count = (1, 2)
    auto_tops = True
    loss = True
    gradient_to = (0, 1)
    refuses_gradient = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the normalization."""
        self.normalization = normalization_mode(self.param.loss_param)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that all bottoms have one shape."""
        shape = bottom[0].shape
        if len(shape) < 2 or any(four_axes(blob.shape) != four_axes(shape) for blob in bottom):
            raise self.fail("all bottoms need one shape (N, C, ...)", [blob.shape for blob in bottom])
        self.positions = int(np.prod(shape[2:]))
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(shape[0], 1, *bottom[1].shape[2:])
        self._error = self.own_blob("error", shape, saved=True)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the loss."""
        xp, error = self.xp, self._error.array
        xp.subtract(bottom[0].array, bottom[1].array.reshape(error.shape), out=error)
        if len(bottom) > 2:
            error *= bottom[2].array.reshape(error.shape)
        size = xp.abs(error)
        losses = xp.where(size < 1, error * error / 2, size - self.dtype.type(0.5))
        items = bottom[0].shape[0]
        self.divisor = normalizer(self.normalization, items, self.positions, items * self.positions, self.training)
        top[0].array[...] = losses.sum(dtype=np.float64) / self.divisor
        if len(top) > 1:
            top[1].array[...] = losses.sum(axis=1).reshape(top[1].shape)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient of a, and its negative for b."""
        slope = self._error.array.clip(-1, 1)
        if len(bottom) > 2:
            slope *= bottom[2].array.reshape(slope.shape)
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                factor = self.dtype.type(sign * float(top[0].diff) / self.divisor)
                bottom[i].grad[...] = (slope * factor).reshape(bottom[i].shape)
