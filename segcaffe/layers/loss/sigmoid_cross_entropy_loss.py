"""SigmoidCrossEntropyLoss: cross entropy of independent probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe import device
from segcaffe.kernels import sigmoid_loss
from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.loss.class_labels import ignored
from segcaffe.layers.loss.normalization import normalization_mode, normalizer
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2


@register
class SigmoidCrossEntropyLoss(LossLayer):
    """Loss = sum of -t log s(x) - (1 - t) log(1 - s(x)) over a normalizer, with s the sigmoid.

    bottom: scores x (N, ...), targets t in [0, 1] (as many); top: scalar.

    The normalization is BATCH_SIZE unless loss_param says otherwise; targets equal to loss_param.ignore_label do not
    count.
    """

    options_field = label_options = "loss_param"
    replayable = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the label to ignore and the normalization."""
        param = self.param.loss_param
        self.ignore = ignored(self)
        self.normalization = normalization_mode(param, default=caffe_pb2.LossParameter.BATCH_SIZE)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there is a target for each score."""
        super().reshape(bottom, top)
        if bottom[0].count != bottom[1].count:
            raise self.fail("needs one target for each score", f"shapes {bottom[0].shape} and {bottom[1].shape}")
        self.totals = self.own_blob("totals", (2,), np.float64)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the loss, from the scores directly so that large ones do not overflow."""
        totals = self.totals.array
        sigmoid_loss.forward(bottom[0].array.reshape(-1), bottom[1].array.reshape(-1), self.ignore, totals)
        loss, valid = device.to_host(totals)
        outer = bottom[0].shape[0]
        self.normalizer = normalizer(self.normalization, outer, bottom[0].count // max(1, outer), valid, self.training)
        top[0].array[...] = loss / self.normalizer

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient s(x) - t, times loss weight over normalizer."""
        if propagate_down[0]:
            scale = float(top[0].diff) / self.normalizer
            x, target = bottom[0].array.reshape(-1), bottom[1].array.reshape(-1)
            sigmoid_loss.backward(x, target, self.ignore, scale, bottom[0].grad.reshape(-1))
