"""CenterLoss: vectors of a class near its centre."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segcaffe import device
from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.loss.class_labels import check_one_label_each, class_numbers
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows
from segcaffe.proto.caffe_pb2 import LayerParameter


@register
class CenterLoss(LossLayer):
    """Half the mean of the squared distances between vectors and the centres of their classes.

    bottoms: vectors (N, ...), labels (N). top: scalar.
    param blobs: centres (num_output, D), a vector for each class.

    What is added to the centres' gradient is not that of the loss, but for each class the sum of (centre - vector) over
    its vectors, divided by their number plus 1, whatever the loss weight.   [Wen et al., ECCV 2016].
    """

    replayable = False

    @classmethod
    def parameter_count(cls, param: LayerParameter, bottoms: int) -> int:
        """The centres."""
        return 1

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Make the centres."""
        options = self.param.center_loss_param
        if options.num_output < 1:
            raise self.fail("center_loss_param.num_output, the number of classes, must be given", options.num_output)
        if options.distance_type != "L2" or bottom[0].canonical_axis(options.axis, self.where) != 1:
            received = f"{options.distance_type}, axis {options.axis}"
            raise self.fail("center_loss_param's distance_type must be L2, its axis 1", received)
        self.classes = options.num_output
        self.add_parameter((self.classes, math.prod(bottom[0].shape[1:])), options.center_filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes."""
        check_one_label_each(self, *bottom)
        if math.prod(bottom[0].shape[1:]) != self.blobs[0].shape[1]:
            raise self.fail(f"was set up for vectors of {self.blobs[0].shape[1]} numbers", f"shape {bottom[0].shape}")
        top[0].reshape()
        self._difference = self.own_blob("difference", (bottom[0].shape[0], self.blobs[0].shape[1]), saved=True)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the loss, keep the differences; DataError where a label is no class."""
        self.labels = class_numbers(self, bottom[1], self.classes)
        difference = self._difference.array
        self.xp.subtract(rows(bottom[0].array), self.blobs[0].array[self.labels], out=difference)
        top[0].array[...] = (difference * difference).sum() / (2 * max(1, len(difference)))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Vectors to their centres, and centres to the middle of their vectors."""
        difference = self._difference.array
        if self.wants_param(0):
            present, own = np.unique(device.to_host(self.labels), return_inverse=True)
            members = (np.arange(len(present))[:, None] == own).astype(self.dtype)
            shares = device.to_device(members / (members.sum(axis=1, keepdims=True) + 1))
            self.blobs[0].grad[device.to_device(present)] -= shares @ difference
        if propagate_down[0]:
            factor = self.dtype.type(float(top[0].diff) / max(1, len(difference)))
            bottom[0].grad[...] = (difference * factor).reshape(bottom[0].shape)
