"""CTCGreedyDecoder: the labels that the best class of each step reads as."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.loss.class_labels import whole_numbers
from segcaffe.layers.metric.sequences import best_classes, edit_distance, read
from segcaffe.layers.registry import register


@register
class CTCGreedyDecoder(Layer):
    """The labels of each item: of the best class of each step equal neighbours are one, and blanks are left out.

    bottoms: scores (T, N, C), indicators (T, N), optionally the true labels (L, N).
    tops: labels (N, T, 1, 1), -1 after the last one; with two or three tops and no true labels then the scores
    (N, 1, 1, 1), minus the sum of the best ones; with them the last top is the accuracy, 1 less the mean of the edit
    distances over the longer one's length.

    Steps end before the first 0 of the indicators after the first step, true labels before the first negative one.
    The blank is ``blank_index``, the last class where that is negative. Without ``ctc_merge_repeated`` equal
    neighbours stay apart. No gradient.
    """

    options_field = "ctc_decoder_param"
    bottom_count = (2, 3)
    top_count = (1, 3)
    gradient_to = ()
    replayable = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes, and which tops there are."""
        shape, has_truth = bottom[0].shape[:3], len(bottom) == 3
        if len(shape) != 3 or not all(shape) or bottom[0].count != np.prod(shape):
            raise self.fail("the scores must be (T, N, C)", f"shape {bottom[0].shape}")
        if bottom[1].count != shape[0] * shape[1]:
            raise self.fail("the indicators must be (T, N)", f"shape {bottom[1].shape}")
        if has_truth and bottom[2].shape[1:2] != shape[1:2]:
            raise self.fail("the true labels must be (L, N)", f"shape {bottom[2].shape}")
        if len(top) > 2 + has_truth:
            raise self.fail("a third top needs the true labels as third bottom", f"{len(top)} tops")
        self.shape = shape
        self.blank = self.param.ctc_decoder_param.blank_index
        if self.blank < 0:
            self.blank = shape[2] - 1
        self.check_range("blank_index", self.blank, 0, shape[2] - 1)
        top[0].reshape(shape[1], shape[0], 1, 1)
        has_scores = len(top) == 2 + has_truth
        self.score_top = top[1] if has_scores else None
        self.accuracy_top = top[-1] if has_truth and len(top) > 1 else None
        if self.score_top is not None:
            self.score_top.reshape(shape[1], 1, 1, 1)
        if self.accuracy_top is not None:
            self.accuracy_top.reshape(1, 1, 1, 1)

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """Of the indicators: sequences that begin at the first step and go on; of the true labels: classes."""
        if index == 0:
            return None
        if index == 2:
            return rng.integers(self.shape[2], size=bottom[2].shape)
        return (np.arange(bottom[1].count) >= self.shape[1]).reshape(bottom[1].shape)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Read each item."""
        steps, items, _ = self.shape
        scores = bottom[0].data.reshape(self.shape)
        indicators = bottom[1].data.reshape(steps, items)
        truth = whole_numbers(self, bottom[2]).reshape(-1, items) if len(bottom) == 3 else None
        best = best_classes(scores)
        errors = []
        top[0].data[...] = -1
        for n in range(items):
            ends = np.flatnonzero(indicators[1:, n] == 0)
            length = int(ends[0]) + 1 if ends.size else steps
            labels = read(best[:length, n], self.blank, self.param.ctc_decoder_param.ctc_merge_repeated)
            top[0].data[n, : labels.size, 0, 0] = labels
            if self.score_top is not None:
                self.score_top.data[n] = -scores[:length, n].max(axis=1).sum()
            if truth is not None:
                ends = np.flatnonzero(truth[:, n] < 0)
                true = truth[: ends[0], n] if ends.size else truth[:, n]
                errors.append(edit_distance(true, labels) / max(1, true.size, labels.size))
        if self.accuracy_top is not None:
            self.accuracy_top.data[...] = 1 - sum(errors) / items
