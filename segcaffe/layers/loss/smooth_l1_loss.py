"""SmoothL1Loss: quadratic near 0, linear beyond."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segcaffe.kernels import difference_loss, elementwise
from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.registry import register


@register
class SmoothL1Loss(LossLayer):
    """Loss = sum of v f(w (a - b)) over a divisor: f(x) = s^2 x^2 / 2 for |x| < 1 / s^2, |x| - 1 / (2 s^2) beyond.

    bottom: a, b (N, C, H, W), optionally w, optionally v, all of one shape but for axes of 1 at the end; top: scalar.

    Weights that are not given are 1; s is smooth_l1_loss_param's sigma. The divisor is N H W, but N where v or
    smooth_l1_loss_param is given, as in Fast R-CNN.
    [Fast R-CNN, Girshick 2015]
    """

    dialects = "v2"
    bottom_count = (2, 4)
    gradient_to = (0, 1)
    refuses_gradient = False
    fork_options = frozenset({"SmoothL1LossParameter.sigma"})

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read where the quadratic part ends."""
        sigma = self.param.smooth_l1_loss_param.sigma
        if not sigma > 0:
            raise self.fail("smooth_l1_loss_param's sigma must be positive", f"{sigma:g}")
        self.sharpness = float(sigma) ** 2

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that all bottoms have one shape."""
        if any(four_axes(blob.shape) != four_axes(bottom[0].shape) for blob in bottom) or not bottom[0].ndim:
            raise self.fail("all bottoms need one shape (N, ...)", [blob.shape for blob in bottom])
        top[0].reshape()
        self.slope = self.own_blob("slope", bottom[0].shape)
        self.total = self.own_blob("total", (1,), np.float64)
        by_items = len(bottom) == 4 or self.param.HasField("smooth_l1_loss_param")
        positions = 1 if by_items else math.prod(bottom[0].shape[2:])
        self.divisor = max(1, bottom[0].shape[0] * positions)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the loss and, with it, its derivative by a."""
        inside = bottom[2].array if len(bottom) > 2 else None
        outside = bottom[3].array if len(bottom) > 3 else None
        total = self.total.array
        difference_loss.smooth(
            bottom[0].array, bottom[1].array, inside, outside, self.slope.array, total, self.sharpness
        )
        top[0].array[...] = total[0] / self.divisor

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient of a, and its negative for b."""
        scale = float(top[0].diff) / self.divisor
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                elementwise.linear(self.slope.array.reshape(-1), sign * scale, 0.0, bottom[i].grad.reshape(-1))


def four_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with axes of 1 at its end, so that it has four."""
    return shape + (1,) * (4 - len(shape))
