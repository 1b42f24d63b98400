"""EuclideanLoss: half the mean squared distance of two batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.kernels import difference_loss, elementwise
from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.registry import register


@register
class EuclideanLoss(LossLayer):
    """Loss = sum (a - b)^2 / (2 N), or with weights w sum (w (a - b))^2 / (2 N).

    bottom: a, b (N, ...) with as many elements each, optionally w, as many (of Greentea); top: scalar. Both a and b can
    receive a gradient.
    """

    bottom_count = (2, 3)
    gradient_to = (0, 1)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that the bottoms have as many elements per item."""
        super().reshape(bottom, top)
        if any(blob.count != bottom[0].count for blob in bottom):
            raise self.fail(
                f"{'both' if len(bottom) == 2 else 'all'} bottoms need as many elements for each item of the batch",
                f"shapes {' and '.join(str(blob.shape) for blob in bottom)}",
            )
        self.difference = self.own_blob("difference", (bottom[0].count,))
        self.total = self.own_blob("total", (1,), np.float64)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the loss, keep the difference."""
        total = self.total.array
        a, b, *weights = (blob.array.reshape(-1) for blob in bottom)
        if weights:
            a, b = a * weights[0], b * weights[0]
        difference_loss.squares(a, b, self.difference.array, total)
        top[0].array[...] = total[0] / (2 * max(1, bottom[0].shape[0]))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient (a - b) / N, times the weights' squares, to a, its negative to b."""
        difference = self.difference.array
        if len(bottom) > 2:
            difference = difference * bottom[2].array.reshape(-1)
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                factor = float(top[0].diff) * sign / max(1, bottom[0].shape[0])
                elementwise.linear(difference, factor, 0.0, bottom[i].grad.reshape(-1))
