"""BiasChannel: raises the scores of the classes that are known to be in the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows
from segcaffe.proto import caffe_pb2

_NO_LABEL = -1
"""Fills lists of labels up to their length."""


@register
class BiasChannel(Layer):
    """Adds fg_bias (2) to the channels of labels, bg_bias (1) to that of the background.

    bottom: scores (N, C, H, W), labels;  top: scores.
    label_type IMAGE (default): labels (N, L, 1, 1) lists the classes of each image; the whole channel of each is
    raised, by bg_bias if the class is 0. label_type PIXEL: labels (N, 1, H, W); at each pixel the channel of its
    label is raised by fg_bias and, if bg_bias or background_label is given, that of background_label by bg_bias, at
    pixels of the background only that. Labels -1 and those of ignore_label raise nothing. The gradient of the scores
    passes unchanged.
    """

    bottom_count = (2, 2)
    in_place = True
    gradient_to = (0,)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the biases and labels."""
        options = self.param.bias_channel_param
        self.bg_bias, self.fg_bias = options.bg_bias, options.fg_bias
        if min(self.bg_bias, self.fg_bias) < 0:
            received = f"bg_bias {self.bg_bias}, fg_bias {self.fg_bias}"
            raise self.fail("bg_bias and fg_bias must be 0 or more.", received)
        self.ignored = [_NO_LABEL, *options.ignore_label]
        self.per_pixel = options.label_type == caffe_pb2.BiasChannelParameter.PIXEL
        self.background = options.background_label
        self.has_background = options.HasField("background_label") or options.HasField("bg_bias")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the labels' shape."""
        scores, labels = bottom[0].shape, bottom[1].shape
        if len(scores) != 4:
            raise self.fail("the scores must have 4 axes (N, C, H, W).", f"shape {scores}")
        if self.per_pixel and labels != (scores[0], 1, *scores[2:]):
            raise self.fail("label_type PIXEL needs labels (N, 1, H, W).", f"labels {labels}, scores {scores}")
        if not self.per_pixel and (labels[:1] != scores[:1] or labels[2:] not in ((), (1, 1)) or len(labels) < 2):
            raise self.fail("label_type IMAGE needs labels (N, L, 1, 1).", f"labels {labels}, scores {scores}")
        if self.per_pixel and self.has_background and not 0 <= self.background < scores[1]:
            received = f"background_label {self.background}, {scores[1]} channels"
            raise self.fail("background_label must be a channel of the scores.", received)
        if top[0] is not bottom[0]:
            top[0].reshape_like(bottom[0])

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """Of the labels: channels of the scores."""
        return rng.integers(bottom[0].shape[1], size=bottom[1].shape) if index == 1 else None

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Raise the scores; DataError where a label has no channel."""
        if top[0] is not bottom[0]:
            top[0].array = bottom[0].array
        labels = np.trunc(bottom[1].data)
        known = ~np.isin(labels, self.ignored)
        strange = labels[known & ~((labels >= 0) & (labels < bottom[0].shape[1]))]
        if strange.size:
            raise DataError(
                f"{self.where}: labels must be channels of the scores, or be named in ignore_label. "
                f"Received: label {strange[0]:g} for {bottom[0].shape[1]} channels."
            )
        if self.per_pixel:
            self._raise_pixels(top[0].array, bottom[1].array[:, 0], self.xp.asarray(known[:, 0]))
        else:
            self._raise_channels(top[0].array, rows(labels), rows(known))

    def _raise_channels(self, scores: Any, labels: Any, known: Any) -> None:
        for n, place in zip(*np.nonzero(known), strict=True):
            label = int(labels[n, place])
            scores[n, label] += self.bg_bias if label == 0 else self.fg_bias

    def _raise_pixels(self, scores: Any, labels: Any, known: Any) -> None:
        labels = labels.astype(int)
        for c in range(scores.shape[1]):
            own = known & (labels == c)
            if self.has_background and c == self.background:
                scores[:, c] += self.bg_bias * known
            else:
                scores[:, c] += self.fg_bias * own

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Pass the gradient on."""
        if propagate_down[0] and top[0] is not bottom[0]:
            bottom[0].grad = top[0].grad
