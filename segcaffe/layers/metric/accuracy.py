"""Accuracy: how often the true class is among the k best."""

from __future__ import annotations

import numpy as np

from segcaffe import device
from segcaffe.kernels import accuracy
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.loss.class_labels import bad_label, check_label_count, class_layout, ignored
from segcaffe.layers.registry import register


@register
class Accuracy(Layer):
    """Share of labels that are hit: fewer than top_k other classes score as high as the true one or higher.

    bottom: scores (..., C, ...) with the classes on accuracy_param.axis, labels (as many as positions).
    top: scalar; optionally the accuracy of each class (C,). What has no label at all has accuracy 0.
    """

    label_options = "accuracy_param"
    bottom_count = (2, 2)
    top_count = (1, 2)
    gradient_to = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read top_k, the axis and the label to ignore."""
        param = self.param.accuracy_param
        self.top_k: int = param.top_k
        self.axis: int = param.axis
        self.ignore = ignored(self)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there is a label for each position, and no more than C best."""
        check_label_count(self, bottom[0], bottom[1], self.axis)
        self.layout = class_layout(self, bottom[0], self.axis)
        if not 1 <= self.top_k <= self.layout[1]:
            raise self.fail(f"top_k must lie in 1..{self.layout[1]}, the number of classes", f"top_k {self.top_k}")
        top[0].reshape()
        if len(top) > 1:
            top[1].reshape(self.layout[1])
        self.counts = self.own_blob("counts", (2, self.layout[1]), np.int64)
        self.bad = self.own_blob("bad", (1,), np.int64)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Count hits per class; DataError where a label is no class."""
        outer, classes, inner = self.layout
        scores, label = bottom[0].array.reshape(self.layout), bottom[1].array.reshape(outer, inner)
        counts, first_bad = self.counts.array, self.bad.array
        accuracy.count(scores, label, self.top_k, self.ignore, counts, first_bad)
        bad = int(device.to_host(first_bad)[0])
        if bad >= 0:
            raise bad_label(self, bottom[1], bad, classes)
        hits, seen = device.to_host(counts)
        top[0].data[...] = hits.sum() / max(1, seen.sum())
        if len(top) > 1:
            top[1].data[...] = hits / np.maximum(1, seen)
