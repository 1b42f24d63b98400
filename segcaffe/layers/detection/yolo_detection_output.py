"""YoloDetectionOutput: from the grids of a YOLO v2 to boxes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from segcaffe.detection.suppression import Suppression
from segcaffe.layers.base import Blobs
from segcaffe.layers.detection.found_boxes import Found, FoundBoxes
from segcaffe.layers.registry import register


@register
class YoloDetectionOutput(FoundBoxes):
    """The boxes that a YOLO v2 found: decoded, those below others taken away.

    bottoms: grids (N, B (5 + C), H, W), one or two; of each box x, y, w, h, objectness, and the classes' scores.
    top: (1, 1, K, 7): item, label, score, xmin, ymin, xmax, ymax in parts of the image and not clipped; the best of an
    item first. Where nothing at all is found there is a row (item, -1, ...) for each item.

    The score is the objectness times the best class's probability (softmax); labels are counted from 1. Those of at
    least confidence_threshold pass non-maximum suppression, all classes together. ``biases`` are the boxes' priors.
    [YOLO v2: Redmon and Farhadi, CVPR 2017].
    """

    bottom_count = (1, 2)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        options = self.param.yolo_detection_output_param
        if options.coords != 4:
            raise self.fail("yolo_detection_output_param.coords must be 4", options.coords)
        self.read_priors(options.biases, options.num_box, options.num_classes)
        self.least, self.suppression = options.confidence_threshold, Suppression(options.nms_threshold)

    def candidates(self, bottom: Blobs) -> Iterator[Found]:
        """Of each item the boxes that score enough."""
        for boxes, objectness, classes in self.likely(bottom, [self.sizes] * len(bottom), self.least):
            # The softmax of the largest number is one over the sum of the others' distances from it.
            largest = classes.max(axis=1, keepdims=True)
            scores = objectness / np.exp(classes - largest).sum(axis=1)
            near = scores >= self.least
            yield boxes[near], classes.argmax(axis=1)[near], scores[near]
