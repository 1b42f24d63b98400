"""What the layers share that turn YOLO's grids into rows of boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from segcaffe.detection.grid import Likely, likely
from segcaffe.detection.suppression import Suppression, suppress
from segcaffe.layers.base import Blobs, Count
from segcaffe.layers.detection.detection_output import ROW
from segcaffe.layers.detection.grids import GridLayer

Array = np.ndarray[Any, Any]
Found = tuple[Array, Array, Array]
"""Boxes (K, 4), their labels from 0 on and scores (K,)."""


class FoundBoxes(GridLayer):
    """Base of layers that decode grids, and take away boxes below others, all classes together.

    bottoms: grids (N, B (5 + C), H, W). top: (1, 1, K, 7): item, label from 1 on, score, xmin, ymin, xmax, ymax.
    """

    bottom_count: ClassVar[Count] = (1, None)
    gradient_to = ()
    refuses_gradient = False
    detects = True
    open_axis = 2
    replayable = False
    recomputes = False
    suppression: Suppression

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the grids; how much is found shows in forward."""
        for blob in bottom:
            self.check_grid(blob)
        if any(blob.shape[0] != bottom[0].shape[0] for blob in bottom):
            raise self.fail("both bottoms need the same batch size", [blob.shape for blob in bottom])
        top[0].reshape(1, 1, 1, ROW)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Find the boxes, item by item."""
        parts = []
        for item, (boxes, labels, scores) in enumerate(self.candidates(bottom)):
            kept = suppress(boxes, scores, self.suppression)
            rows = np.empty((len(kept), ROW), self.dtype)
            rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3:] = item, labels[kept] + 1, scores[kept], boxes[kept]
            parts.append(rows)
        found = np.concatenate(parts) if parts else np.empty((0, ROW), self.dtype)
        if not len(found):
            found = np.full((bottom[0].shape[0], ROW), -1, self.dtype)
            found[:, 0] = np.arange(len(found))
        top[0].reshape(1, 1, len(found), ROW)
        top[0].data[0, 0] = found

    def likely(self, bottom: Blobs, sizes: Sequence[Array], least: float) -> Iterator[Likely]:
        """Of each item the boxes of all grids, whose priors have these sizes, with that much objectness at least."""
        for n in range(bottom[0].shape[0]):
            parts = [likely(self.numbers(blob)[n], own, least) for blob, own in zip(bottom, sizes, strict=True)]
            yield Likely(*map(np.concatenate, zip(*parts, strict=True))) if len(parts) > 1 else parts[0]

    def candidates(self, bottom: Blobs) -> Iterator[Found]:
        """Of each item the boxes that score enough."""
        raise NotImplementedError

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Boxes that were found have no gradient."""
