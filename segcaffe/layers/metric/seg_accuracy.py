"""SegAccuracy: pixel accuracy, mean class recall and mean intersection over union."""

from __future__ import annotations

import numpy as np

from segcaffe import device
from segcaffe.kernels import confusion
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.loss.class_labels import bad_label
from segcaffe.layers.registry import register


@register
class SegAccuracy(Layer):
    """Measures of the confusion matrix of predicted (largest score) and true classes.

    bottom: scores (N, C, H, W), labels (N, 1, H, W) or (N, H, W).
    top: (1, 1, 1, 3): share of pixels that are right; mean over the classes that occur of the share of their pixels
    that are right; mean over all classes of intersection over union, 1 for a class neither true nor predicted anywhere.

    Among equal scores the later class is predicted. Without ``reset`` the matrix grows from batch to batch; labels in
    ``ignore_label`` do not count.
    """

    label_options = "seg_accuracy_param"
    bottom_count = (2, 2)
    gradient_to = ()
    value_names = ("pixel accuracy", "mean class accuracy", "mean IoU")

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options; the matrix starts empty."""
        param = self.param.seg_accuracy_param
        self.ignore = np.array(sorted(param.ignore_label), np.int64)
        self.reset: bool = param.reset
        self.matrix = np.zeros((0, 0), np.int64)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there is a label for each pixel."""
        scores, labels = bottom[0].shape, bottom[1].shape
        plane = (scores[0], *scores[2:]) if len(scores) == 4 else None
        if plane is None or labels not in (plane, (plane[0], 1, *plane[1:])) or not scores[1]:
            raise self.fail("needs scores (N, C, H, W) and labels (N, 1, H, W)", f"shapes {scores} and {labels}")
        self.layout = (scores[0], scores[1], scores[2] * scores[3])
        if self.matrix.shape[0] != scores[1]:
            self.matrix = np.zeros((scores[1], scores[1]), np.int64)
        top[0].reshape(1, 1, 1, 3)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Count the batch, measure; DataError where a label is no class."""
        num, classes, pixels = self.layout
        counts = self.xp.empty((classes, classes), np.int64)
        bad = self.xp.empty(1, np.int64)
        ignore = self.xp.asarray(self.ignore)
        scores, label = bottom[0].array.reshape(self.layout), bottom[1].array.reshape(num, pixels)
        confusion.count(scores, label, ignore, counts, bad)
        first_bad = int(device.to_host(bad)[0])
        if first_bad >= 0:
            raise bad_label(self, bottom[1], first_bad, classes)
        counted = device.to_host(counts)
        self.matrix = counted.copy() if self.reset else self.matrix + counted
        top[0].data[...] = _measures(self.matrix)


def _measures(matrix: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> tuple[float, float, float]:
    """Pixel accuracy, mean recall, mean intersection over union of a matrix [true, predicted]."""
    right, true, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    occurs = true > 0
    union = true + predicted - right
    recall = float((right[occurs] / true[occurs]).mean()) if occurs.any() else 0.0
    overlap = np.where(union > 0, right / np.maximum(union, 1), 1.0)
    return float(right.sum() / max(1, true.sum())), recall, float(overlap.mean())
