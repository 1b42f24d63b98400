"""SmoothL1Loss: quadratic near 0, linear beyond 1."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.registry import register


@register
class SmoothL1Loss(LossLayer):
    """Loss = sum of v f(w (a - b)) over a divisor, with f(x) = x^2 / 2 for |x| < 1, |x| - 1/2 beyond.

    bottom: a, b (N, C, H, W), optionally w, optionally v, all of one shape; top: scalar.

    Weights that are not given are 1. The divisor is N H W, but N where v is given. [Fast R-CNN, Girshick 2015]
    """

    bottom_count = (2, 4)
    gradient_to = (0, 1)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that all bottoms have one shape."""
        if any(blob.shape != bottom[0].shape for blob in bottom) or not bottom[0].ndim:
            raise self.fail("all bottoms need one shape (N, ...)", [blob.shape for blob in bottom])
        top[0].reshape()
        positions = 1 if len(bottom) == 4 else math.prod(bottom[0].shape[2:])
        self.divisor = max(1, bottom[0].shape[0] * positions)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the loss and, with it, its derivative by a."""
        inside = bottom[2].array if len(bottom) > 2 else 1
        outside = bottom[3].array if len(bottom) > 3 else 1
        difference = inside * (bottom[0].array - bottom[1].array)
        slope = self.xp.clip(difference, -1, 1)
        # f(x) = s x - s^2 / 2 with s its derivative.
        top[0].array[...] = (outside * slope * (difference - slope / 2)).sum() / self.divisor
        self.slope = outside * inside * slope

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient of a, and its negative for b."""
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                self.xp.multiply(self.slope, top[0].grad * (sign / self.divisor), out=bottom[i].grad)
