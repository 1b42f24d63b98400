"""DetectionOutputExtended: boxes that were found, and the place in the grid that each comes from."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.layers.base import Blobs
from segcaffe.layers.detection.detection_output import ROW, DetectionOutput
from segcaffe.layers.registry import register

Array = np.ndarray[Any, Any]


@register
class DetectionOutputExtended(DetectionOutput):
    """DetectionOutput of one class, with the anchor and the cell of each box.   [OpenVINO's training toolbox].

    bottoms: locations (N, H, W, 4 A), confidences (N, 2 H W A) of background and class, priors and variances
    (1, 2, 4 H W A).
    top: (1, 1, K, 10): item, label 1, score, xmin, ymin, xmax, ymax, anchor, column and row of the cell.
    """

    bottom_count = (3, 3)
    options_field = "detection_output_param"
    row = ROW + 3

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        super().setup(bottom, top)
        # Whatever the file says: label 0 is the background.
        self.background = 0
        if self.classes != 2 or not self.shared:
            received = f"{self.classes}, share_location {str(self.shared).lower()}"
            raise self.fail("detection_output_param.num_classes must be 2, and share_location true", received)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes; how much is found shows in forward."""
        if bottom[0].ndim != 4 or bottom[0].shape[3] % 4 or not bottom[0].shape[3]:
            raise self.fail("bottom 0, the locations, must be (N, H, W, 4 A)", f"shape {bottom[0].shape}")
        super().reshape(bottom, top)
        self.width, self.anchors = bottom[0].shape[2], bottom[0].shape[3] // 4

    def fill(self, rows: Array, priors: Array) -> None:
        """Anchor, column and row of each prior: they stand together by cells, row by row."""
        cell = priors // self.anchors
        rows[:, ROW], rows[:, ROW + 1], rows[:, ROW + 2] = priors % self.anchors, cell % self.width, cell // self.width
