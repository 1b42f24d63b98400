"""MultinomialLogisticLoss: negative log likelihood of given probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.loss.class_labels import SMALLEST_LOG, check_one_label_each, class_numbers
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows


@register
class MultinomialLogisticLoss(LossLayer):
    """Loss = - sum of log max(p[label], 1e-20) / N.

    bottom: probabilities (N, C) or (N, C, 1, 1), labels (N); top: scalar.
    """

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there is one label for each item."""
        super().reshape(bottom, top)
        check_one_label_each(self, bottom[0], bottom[1])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the loss; DataError where a label is no class."""
        num = bottom[0].shape[0]
        prob = rows(bottom[0].array)
        self.label = class_numbers(self, bottom[1], prob.shape[1])
        self.picked = self.xp.maximum(prob[self.xp.arange(num), self.label], SMALLEST_LOG)
        top[0].array[...] = -self.xp.log(self.picked).sum() / max(1, num)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient -1 / (N p[label]) at the label, 0 elsewhere."""
        if not propagate_down[0]:
            return
        num = bottom[0].shape[0]
        grad = rows(bottom[0].grad)
        grad[...] = 0
        grad[self.xp.arange(num), self.label] = -top[0].grad / (num * self.picked)
