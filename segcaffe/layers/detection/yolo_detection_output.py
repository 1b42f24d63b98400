"""YoloDetectionOutput: from the grids of a YOLO v2 to boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.detection.suppression import Suppression, suppress
from segcaffe.layers.base import Blobs
from segcaffe.layers.detection.detection_output import ROW
from segcaffe.layers.detection.grids import GridLayer
from segcaffe.layers.registry import register


@register
class YoloDetectionOutput(GridLayer):
    """The boxes that a YOLO v2 found: decoded, those below others taken away.

    bottoms: grids (N, B (5 + C), H, W), one or two; of each box x, y, w, h, objectness, and the classes' scores.
    top: (1, 1, K, 7): item, label, score, xmin, ymin, xmax, ymax in parts of the image and not clipped; the best of an
    item first. Where nothing at all is found there is a row (item, -1, ...) for each item.

    The score is the objectness times the best class's probability (softmax); labels are counted from 1. Those of at
    least confidence_threshold pass non-maximum suppression, all classes together. ``biases`` are the boxes' priors.
    [YOLO v2: Redmon and Farhadi, CVPR 2017].
    """

    bottom_count = (1, 2)
    gradient_to = ()
    refuses_gradient = False
    detects = True
    replayable = False
    recomputes = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        options = self.param.yolo_detection_output_param
        if options.coords != 4:
            raise self.fail("yolo_detection_output_param.coords must be 4", options.coords)
        self.read_priors(options.biases, options.num_box, options.num_classes)
        self.least, self.suppression = options.confidence_threshold, Suppression(options.nms_threshold)

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
        for item, grids in enumerate(zip(*map(self.grids, bottom), strict=True)):
            boxes = np.concatenate([grid.boxes.reshape(-1, 4) for grid in grids])
            scores = np.concatenate([(grid.objectness * grid.classes.max(axis=1)).ravel() for grid in grids])
            labels = np.concatenate([grid.classes.argmax(axis=1).ravel() for grid in grids]) + 1
            near = np.flatnonzero(scores >= self.least)
            kept = near[suppress(boxes[near], scores[near], self.suppression)]
            rows = np.empty((len(kept), ROW), self.dtype)
            rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3:] = item, labels[kept], scores[kept], boxes[kept]
            parts.append(rows)
        found = np.concatenate(parts) if parts else np.empty((0, ROW), self.dtype)
        if not len(found):
            found = np.full((bottom[0].shape[0], ROW), -1, self.dtype)
            found[:, 0] = np.arange(len(found))
        top[0].reshape(1, 1, len(found), ROW)
        top[0].data[0, 0] = found

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Boxes that were found have no gradient."""
