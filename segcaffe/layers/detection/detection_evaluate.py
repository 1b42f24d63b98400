"""DetectionEvaluate: which of the boxes that were found are right."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.detection import ground_truth
from segcaffe.detection.ground_truth import TrueBoxes
from segcaffe.detection.in_image import in_pixels
from segcaffe.detection.judging import judge
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.detection import detection_output
from segcaffe.layers.detection.name_sizes import read_name_sizes, resizing
from segcaffe.layers.registry import register

Array = np.ndarray[Any, Any]
ROW = 5
"""Numbers of a judged detection: item, label, score, right, wrong."""


@register
class DetectionEvaluate(Layer):
    """The detections of a batch judged by its true boxes; tests join the rows and give the mean average precision.

    bottoms: detections (1, 1, K, 7) as of DetectionOutput; true boxes (1, 1, G, 8) as of MultiBoxLoss.
    top: (1, 1, C + K, 5): for each class but the background (-1, label, number of true boxes, -1, -1); then for each
    detection item, label, score, 1 where it is right, 1 where it is wrong.

    A detection is right where it overlaps by at least overlap_threshold with a true box of its class that no better
    one was right about. Without evaluate_difficult_gt the difficult boxes do not count, nor what finds them.
    name_size_file names the images one after the other, ``name height width`` on each line; overlaps are then of
    pixels.
    """

    bottom_count = (2, 2)
    gradient_to = ()
    judges = True
    open_axis = 2
    replayable = False
    recomputes = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options and the sizes."""
        options = self.param.detection_evaluate_param
        if options.num_classes < 1:
            raise self.fail("detection_evaluate_param.num_classes must be given", options.num_classes)
        self.check_range("detection_evaluate_param.num_classes", options.num_classes, 1, 1 << 16)
        if options.overlap_threshold <= 0:
            raise self.fail("detection_evaluate_param.overlap_threshold must be above 0", options.overlap_threshold)
        self.labels = [c for c in range(options.num_classes) if c != options.background_label_id]
        self.overlap, self.count_difficult = options.overlap_threshold, options.evaluate_difficult_gt
        source = options.name_size_file
        self.sizes = [image.size for image in read_name_sizes(self.where, source)] if source else []
        self.resize = resizing(self, options)
        self._image = 0

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes."""
        for i, width in enumerate((detection_output.ROW, ground_truth.ROW)):
            if bottom[i].ndim != 4 or bottom[i].shape[:2] != (1, 1) or bottom[i].shape[3] != width:
                raise self.fail(f"bottom {i} must be (1, 1, N, {width})", f"shape {bottom[i].shape}")
        top[0].reshape(1, 1, len(self.labels), ROW)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Judge item by item."""
        found = bottom[0].data.reshape(-1, detection_output.ROW)
        truth = bottom[1].data.reshape(-1, ground_truth.ROW)
        counted = truth[(truth[:, 0] >= 0) & (self.count_difficult | (truth[:, 7] == 0))]
        heads = [(-1, label, (counted[:, 1] == label).sum(), -1, -1) for label in self.labels]
        rows = [np.array(heads, self.dtype).reshape(-1, ROW)]
        items = np.unique(np.concatenate([found[:, 0], truth[:, 0]]))
        for item in items[items >= 0]:
            rows.append(self._judged(found[found[:, 0] == item], TrueBoxes.of_item(truth, int(item))))
            self._image += 1
        joined = np.concatenate(rows)
        top[0].reshape(1, 1, len(joined), ROW)
        top[0].data[0, 0] = joined

    def _judged(self, found: Array, truth: TrueBoxes) -> Array:
        """The rows of an item (K, 5)."""
        boxes, true_boxes, border = found[:, 3:7], truth.boxes, 0.0
        if self.sizes:
            size = self.sizes[self._image % len(self.sizes)]
            boxes, true_boxes = (in_pixels(values, size, self.resize) for values in (boxes, true_boxes))
            border = 1.0
        difficult = truth.difficult & (not self.count_difficult)
        rows = []
        for label in np.unique(found[found[:, 1] >= 0, 1]):
            order = np.flatnonzero(found[:, 1] == label)
            order = order[np.argsort(-found[order, 2], kind="stable")]
            own = truth.labels == label
            right, wrong = judge(boxes[order], true_boxes[own], difficult[own], self.overlap, border)
            rows.append(np.column_stack([found[order, :3], right, wrong]))
        return np.concatenate(rows).astype(self.dtype) if rows else np.zeros((0, ROW), self.dtype)
