"""SoftmaxWithLossOHEM: softmax loss with the loss of each position."""

from __future__ import annotations

from segcaffe.layers.base import Blobs
from segcaffe.layers.loss.class_labels import class_numbers
from segcaffe.layers.loss.softmax_with_loss import FLOOR, SoftmaxWithLoss
from segcaffe.layers.registry import register


@register
class SoftmaxWithLossOHEM(SoftmaxWithLoss):
    """SoftmaxWithLoss with a further top.   [R-FCN: Dai et al., NIPS 2016].

    bottom: scores (..., C, ...) with the classes on softmax_param.axis, labels (as many as positions).
    tops: scalar; optionally the probabilities, of the scores' shape; optionally the loss of each position, of the
    labels' shape, 0 where the label is ignored.
    """

    top_count = (1, 3)
    fork_options = SoftmaxWithLoss.fork_options - {"LossParameter.label_smoothing"}

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options; no Caffe that has this layer smooths labels."""
        super().setup(bottom, top)
        self.smoothing = 0.0

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """As SoftmaxWithLoss; the losses have the labels' shape."""
        super().reshape(bottom, top[:2])
        if len(top) > 2:
            top[2].reshape_like(bottom[1])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute probabilities and losses."""
        super().forward(bottom, top[:2])
        if len(top) < 3:
            return
        outer, classes, inner = self.layout
        label = class_numbers(self, bottom[1], classes, self.ignore).reshape(outer, 1, inner)
        counts = label >= 0
        number = self.xp.where(counts, label, 0)
        prob = self.xp.take_along_axis(self.prob.array, number, axis=1)
        losses = -self.xp.log(self.xp.maximum(prob, self.dtype.type(FLOOR))) * self.weight.array[number]
        top[2].array[...] = self.xp.where(counts, losses, 0).reshape(top[2].shape)
