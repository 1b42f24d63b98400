"""What the losses of YOLO v2 and v3 share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.detection.grid import Grid
from segcaffe.detection.ground_truth import TrueBoxes
from segcaffe.layers.base import Blobs
from segcaffe.layers.detection.grids import GridLayer

Array = np.ndarray[Any, Any]


class GridLoss(GridLayer):
    """Base of losses whose gradient is told, not derived; the loss is the sum of its squares over the batch size.

    bottoms: grid (N, B (5 + C), H, W); true boxes (N, 5 G) or (1, 1, G, 8). top: scalar.
    """

    bottom_count = (2, 2)
    auto_tops = True
    loss = True
    gradient_to = (0,)
    replayable = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes."""
        self.check_grid(bottom[0])
        self.check_truth(bottom[1], bottom[0].shape[0])
        top[0].reshape()
        self._slope = self.own_blob("slope", bottom[0].shape, saved=True)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """What each number should change by, item by item."""
        items = bottom[0].shape[0]
        slope = self._slope.data
        total = 0.0
        for n, (grid, truth) in enumerate(zip(self.grids(bottom[0]), self.truths(bottom[1], items), strict=True)):
            own = self.slopes(grid, truth)
            total += float((own * own).sum())
            slope[n] = own.reshape(slope.shape[1:])
        top[0].data[...] = total / max(1, items)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The mean over items."""
        if propagate_down[0]:
            factor = self.dtype.type(float(top[0].diff) / max(1, bottom[0].shape[0]))
            self.xp.multiply(self._slope.array, factor, out=bottom[0].grad)

    def slopes(self, grid: Grid, truth: TrueBoxes) -> Array:
        """The slopes of an item's numbers (B, 5 + C, H, W)."""
        raise NotImplementedError
