"""LabelsequenceAccuracy: how many sequences are read without a mistake."""

from __future__ import annotations

import numpy as np

from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.loss.class_labels import whole_numbers
from segcaffe.layers.metric.sequences import best_classes, read
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows


@register
class LabelsequenceAccuracy(Layer):
    """The share of items whose best classes read as their labels; equal neighbours are one, blanks are left out.

    bottoms: scores (N, T, C), labels (N, L), in which ``blank_label`` stands for none. top: scalar. No gradient.
    """

    bottom_count = (2, 2)
    gradient_to = ()
    replayable = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes."""
        shape, labels = bottom[0].shape, bottom[1].shape
        if len(shape) != 3 or not shape[2] or labels[:1] != shape[:1]:
            raise self.fail("the scores must be (N, T, C), the labels (N, L)", f"shapes {shape} and {labels}")
        top[0].reshape()

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compare sequences."""
        blank = self.param.labelsequence_accuracy_param.blank_label
        best = best_classes(bottom[0].data)
        labels = rows(whole_numbers(self, bottom[1]))
        hits = [np.array_equal(read(b, blank), row[row != blank]) for b, row in zip(best, labels, strict=True)]
        top[0].data[...] = sum(hits) / max(1, len(hits))
