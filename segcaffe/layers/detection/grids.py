"""What layers share that read the grid of boxes of a YOLO v2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.blob import Blob
from segcaffe.detection.grid import Grid, decode, holds_true_boxes, prior_sizes, true_boxes
from segcaffe.detection.ground_truth import TrueBoxes
from segcaffe.errors import DataError
from segcaffe.layers.base import Layer

Array = np.ndarray[Any, Any]


class GridLayer(Layer):
    """Base of layers whose bottom is (N, B (5 + C), H, W): B boxes in each cell, C classes."""

    sizes: Array
    classes: int

    def read_priors(self, biases: Sequence[float], boxes: int, classes: int) -> None:
        """Set ``sizes`` (B, 2) and ``classes``."""
        self.check_range("the number of boxes", boxes, 1, 1 << 10)
        self.check_range("the number of classes", classes, 1, 1 << 16)
        sizes = prior_sizes(biases, boxes)
        if sizes is None:
            rule = f"biases must be the {boxes} priors' widths and heights, in cells and above 0"
            raise self.fail(rule, f"{len(biases)} numbers {list(biases)}")
        self.sizes, self.classes = sizes, classes

    def check_grid(self, grid: Blob) -> None:
        """Raise ShapeError unless a blob is such a grid."""
        channels = len(self.sizes) * (5 + self.classes)
        if grid.ndim != 4 or grid.shape[1] != channels or not all(grid.shape[1:]):
            rule = f"{len(self.sizes)} boxes of 5 numbers and {self.classes} classes need (N, {channels}, H, W)"
            raise self.fail(rule, f"shape {grid.shape}")

    def check_truth(self, truth: Blob, items: int) -> None:
        """Raise ShapeError unless a blob can be true boxes."""
        if not holds_true_boxes(truth.shape, items):
            raise self.fail("the true boxes must be (N, 5 G) or (1, 1, G, 8)", f"shape {truth.shape}, N {items}")

    def grids(self, blob: Blob) -> list[Grid]:
        """What each item predicts."""
        return [decode(own, self.sizes) for own in self.numbers(blob).astype(np.float64)]

    def numbers(self, blob: Blob) -> Array:
        """The grids' numbers (N, B, 5 + C, H, W)."""
        items, _, height, width = blob.shape
        return blob.data.reshape(items, len(self.sizes), 5 + self.classes, height, width)

    def truths(self, blob: Blob, items: int) -> list[TrueBoxes]:
        """The true boxes of each item; DataError where one is no box, or its label no class."""
        values = blob.data
        if not np.isfinite(values).all():
            raise DataError(f"{self.where}: true boxes must be finite numbers.")
        found = true_boxes(values, items)
        for item, truth in enumerate(found):
            bad = ((truth.boxes[:, 2:] <= truth.boxes[:, :2]).any(axis=1)) | (truth.labels < 0)
            bad |= truth.labels >= self.classes
            if bad.any():
                k = int(bad.argmax())
                rule = f"true boxes need a size above 0, and labels of the {self.classes} classes"
                received = f"label {truth.labels[k]}, box {truth.boxes[k].tolist()}, in item {item}"
                raise DataError(f"{self.where}: {rule}. Received: {received}.")
        return found
