"""HingeLoss: one against all."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.loss.class_labels import check_one_label_each, class_numbers
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows
from segcaffe.proto import caffe_pb2


@register
class HingeLoss(LossLayer):
    """Loss = sum of max(0, 1 - s x)^p / N, with s = 1 at the label and -1 elsewhere, p = 1 (norm L1) or 2 (L2).

    bottom: scores x (N, C), labels (N); top: scalar.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the norm."""
        self.squared = self.param.hinge_loss_param.norm == caffe_pb2.HingeLossParameter.L2

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there is one label for each item."""
        super().reshape(bottom, top)
        check_one_label_each(self, bottom[0], bottom[1])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the margins that are violated; DataError where a label is no class."""
        num = bottom[0].shape[0]
        scores = rows(bottom[0].array)
        label = class_numbers(self, bottom[1], scores.shape[1])
        self.sign = self.xp.full(scores.shape, -1, self.dtype)
        self.sign[self.xp.arange(num), label] = 1
        self.margin = self.xp.maximum(0, 1 - self.sign * scores)
        total = self.xp.vdot(self.margin, self.margin) if self.squared else self.margin.sum()
        top[0].array[...] = total / max(1, num)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient -s (or -2 s margin) / N where the margin is violated."""
        if propagate_down[0]:
            slope = 2 * self.margin if self.squared else self.margin > 0
            factor = -top[0].grad / max(1, bottom[0].shape[0])
            bottom[0].grad = (slope * self.sign * factor).reshape(bottom[0].shape)
