"""L1Loss: absolute differences, or the length of the difference vector at each location."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe import device
from segcaffe.kernels import difference_loss, elementwise
from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.registry import register


@register
class L1Loss(LossLayer):
    """Loss = sum |d| / N, or with l2_per_location sum over (n, y, x) of sqrt(sum over c of d^2 + epsilon) / N.

    bottom: a and b, d = a - b, or d alone; (N, C, H, W); top: scalar.

    Elements where d is NaN do not count. plateau: differences (lengths) smaller than it count 0 and have no gradient.
    l2_prescale_by_channels: the sum over c is divided by C. normalize_by_num_entries: N becomes the number of elements
    that are not NaN over C. The gradient of |d| at 0 is -1. [FlowNet 2.0, Ilg et al. 2017]
    """

    bottom_count = (1, 2)
    gradient_to = (0, 1)
    replayable = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        param = self.param.l1_loss_param
        self.by_length: bool = param.l2_per_location
        self.prescale: bool = param.l2_prescale_by_channels
        self.by_entries: bool = param.normalize_by_num_entries
        self.epsilon: float = param.epsilon
        self.plateau: float = param.plateau
        if self.epsilon < 0 or self.plateau < 0:
            raise self.fail("epsilon and plateau must not be negative", f"{self.epsilon:g} and {self.plateau:g}")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that the bottoms have one shape, with a channel axis."""
        if any(blob.shape != bottom[0].shape for blob in bottom) or bottom[0].ndim < 2:
            raise self.fail("bottoms need one shape, of at least two axes (N, C, ...)", [blob.shape for blob in bottom])
        top[0].reshape()
        self.slope = self.own_blob("slope", bottom[0].shape)
        self.totals = self.own_blob("totals", (2,), np.float64)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the loss and, with it, its derivative by d."""
        loss, known = self._lengths(bottom) if self.by_length else self._absolutes(bottom)
        num, channels = bottom[0].shape[:2]
        # Without a single number the loss is 0 rather than 0 / 0.
        self.divisor = (known / channels if self.by_entries else num) or 1.0
        top[0].array[...] = loss / self.divisor

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient of d to the first bottom, its negative to the second."""
        scale = float(top[0].diff) / self.divisor
        for i, sign in zip(range(len(bottom)), (1, -1), strict=False):
            if propagate_down[i]:
                elementwise.linear(self.slope.array, sign * scale, 0.0, bottom[i].grad)

    def _absolutes(self, bottom: Blobs) -> tuple[float, float]:
        """Sum of |d| and number of known elements."""
        second = bottom[1].array if len(bottom) > 1 else None
        totals = self.totals.array
        difference_loss.absolute(bottom[0].array, second, self.plateau, self.slope.array, totals)
        loss, known = device.to_host(totals)
        return float(loss), float(known)

    def _lengths(self, bottom: Blobs) -> tuple[float, float]:
        """Sum of the lengths of d and number of known elements."""
        difference = bottom[0].array - bottom[1].array if len(bottom) > 1 else bottom[0].array
        known = ~self.xp.isnan(difference)
        difference = self.xp.where(known, difference, 0)
        scale = 1 / difference.shape[1] if self.prescale else 1
        squared = (difference * difference).sum(axis=1, keepdims=True) * scale
        far = squared >= self.plateau**2
        length = self.xp.sqrt(squared * far + self.epsilon)
        # Where the length is 0 it has no direction.
        slope = difference * scale * far / self.xp.where(length > 0, length, 1)
        self.slope.array = self.xp.where(known, slope, 0).astype(self.dtype)
        return float(length.sum(dtype=np.float64)), float(known.sum())
