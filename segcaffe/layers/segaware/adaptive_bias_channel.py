"""AdaptiveBiasChannel: raises the scores of an image's classes until each wins its share of the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.errors import DataError
from segcaffe.layers.base import MOST_ITERATIONS, Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows


@register
class AdaptiveBiasChannel(Layer):
    """Adds to the channel of each class that is in the image the number that makes it win about a given share of it.

    bottom: scores (N, C, H, W), labels (N, L, 1, 1), the classes of each image, -1 for none;  top: scores.
    First, with suppress_others (default), the scores of other classes are cut to margin_others below the lowest
    score of the image's own, wherever they are above that. Then num_iter times, for the background (class 0) first
    and the others in random order: the channel is raised by the value that a share bg_portion or fg_portion of its
    distances to the best score lies below. Last, the mean of the best score is put back to what it was. An image
    without labels stays as it is. No gradient. Source: Papandreou et al. 2015 (the E-step of "EM-Adapt").
    """

    bottom_count = (2, 2)
    in_place = True
    gradient_to = ()
    refuses_gradient = False
    recomputes = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the shares."""
        options = self.param.adaptive_bias_channel_param
        self.num_iter, self.suppress_others = options.num_iter, options.suppress_others
        self.margin = options.margin_others
        self.bg_portion, self.fg_portion = options.bg_portion, options.fg_portion
        self.check_range("num_iter", self.num_iter, 1, MOST_ITERATIONS)
        if self.margin < 0:
            raise self.fail("margin_others must be 0 or more.", f"margin_others {self.margin}")
        if not (0 <= self.bg_portion <= 1 and 0 <= self.fg_portion <= 1):
            received = f"bg_portion {self.bg_portion}, fg_portion {self.fg_portion}"
            raise self.fail("bg_portion and fg_portion must lie in [0, 1].", received)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the labels' shape."""
        scores, labels = bottom[0].shape, bottom[1].shape
        if len(scores) != 4 or scores[1] < 2 or min(scores[2:]) < 1:
            rule = "the scores must have 4 axes (N, C, H, W), at least 2 channels and at least one pixel."
            raise self.fail(rule, f"shape {scores}")
        if labels[:1] != scores[:1] or len(labels) < 2 or labels[1] < 1 or labels[2:] not in ((), (1, 1)):
            raise self.fail("the labels must be (N, L, 1, 1).", f"labels {labels}, scores {scores}")
        if top[0] is not bottom[0]:
            top[0].reshape_like(bottom[0])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Adapt each image; DataError where a label has no channel."""
        if top[0] is not bottom[0]:
            top[0].array = bottom[0].array
        channels = bottom[0].shape[1]
        for n, row in enumerate(rows(bottom[1].data).astype(int)):
            labels = sorted(row[row != -1])
            if labels and not 0 <= labels[0] <= labels[-1] < channels:
                raise DataError(
                    f"{self.where}: labels must be channels of the scores, or -1 for none. "
                    f"Received: labels {[int(label) for label in labels]} for {channels} channels."
                )
            if labels:
                self._adapt(top[0].array[n].reshape(channels, -1), labels)

    def _adapt(self, scores: Any, labels: list[int]) -> None:
        xp = self.xp
        if self.suppress_others:
            lowest = scores[labels].min(0)
            for c in set(range(len(scores))) - set(labels):
                scores[c] = xp.where(scores[c] > lowest, lowest - self.margin, scores[c])
        best = scores[labels].max(0)
        mean = best.mean(dtype=np.float64)
        for _ in range(self.num_iter):
            for label in self._order(labels):
                distance = xp.sort(best - scores[label])
                portion = self.bg_portion if label == 0 else self.fg_portion
                scores[label] += distance[min(int(np.float32(portion) * len(distance)), len(distance) - 1)]
                xp.maximum(best, scores[label], out=best)
        scores += (mean - best.mean(dtype=np.float64)).astype(self.dtype)

    @staticmethod
    def _order(labels: list[int]) -> list[int]:
        """Background first, the others shuffled."""
        others = [label for label in labels if label]
        count = len(labels) - len(others)
        shuffled = device.generator().permutation(len(others))
        return [0] * count + [others[i] for i in shuffled]
