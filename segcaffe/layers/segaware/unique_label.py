"""UniqueLabel: which labels an image has."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class UniqueLabel(Layer):
    """The labels of each image, rising, each once, and -1 for the rest of max_labels places.

    bottom: labels (N, 1, H, W);  top: (N, max_labels, 1, 1). The labels of ignore_label are left out, those of
    force_label are always there. An image with more labels than max_labels is an error. No gradient.
    """

    gradient_to = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the number of places, and the labels to ignore and to force."""
        options = self.param.unique_label_param
        self.max_labels = options.max_labels
        self.ignored, self.forced = list(options.ignore_label), sorted(set(options.force_label))
        if self.max_labels <= len(self.forced):
            received = f"max_labels {self.max_labels}, {len(self.forced)} forced labels"
            raise self.fail("max_labels must leave room for one label more than the forced ones.", received)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """One place for each label."""
        if bottom[0].ndim < 2 or bottom[0].shape[1] != 1:
            raise self.fail("the labels must have one channel: (N, 1, H, W).", f"shape {bottom[0].shape}")
        top[0].reshape(bottom[0].shape[0], self.max_labels, 1, 1)

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """A few labels, many times."""
        return rng.integers(max(1, self.max_labels - len(self.forced)), size=bottom[0].shape)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """List the labels; DataError where they are too many."""
        labels, out = bottom[0].data, top[0].data
        out[...] = -1
        for n in range(len(labels)):
            present = np.unique(labels[n])
            present = np.union1d(present[~np.isin(np.trunc(present), self.ignored)], self.forced)
            if present.size > self.max_labels:
                raise DataError(
                    f"{self.where}: image {n} of the batch has more labels than max_labels; raise that number. "
                    f"Received: max_labels {self.max_labels}, {present.size} labels, forced ones included."
                )
            out[n, : present.size, 0, 0] = present
