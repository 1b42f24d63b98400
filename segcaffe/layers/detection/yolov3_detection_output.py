"""Yolov3DetectionOutput: from the grids of a YOLO v3 to boxes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import special

from segcaffe.detection.grid import prior_sizes
from segcaffe.detection.suppression import Suppression
from segcaffe.layers.base import Blobs
from segcaffe.layers.detection.found_boxes import Found, FoundBoxes
from segcaffe.layers.registry import register


@register
class Yolov3DetectionOutput(FoundBoxes):
    """The boxes that a YOLO v3 found: decoded, those below others taken away.

    bottoms: grids (N, num_box (5 + C), H, W), mask_group_num of them; of each box x, y, w, h, objectness, and the
    classes' scores.
    top: (1, 1, K, 7): item, label, score, xmin, ymin, xmax, ymax in parts of the image and not clipped; the best of an
    item first. Where nothing at all is found there is a row (item, -1, ...) for each item.

    ``biases`` are the priors of all grids, in pixels of the net's input; ``mask`` has num_box of them for each grid,
    ``anchors_scale`` the size of its cells. The score of each class is the objectness times its own probability (both
    sigmoids); labels are counted from 1. A box is found once for each class that scores above confidence_threshold;
    non-maximum suppression takes all classes together.   [YOLO v3: Redmon and Farhadi 2018].
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options and the priors."""
        options = self.param.yolov3_detection_output_param
        if options.gaussian_box:
            raise self.fail("gaussian_box is not built", "true")
        groups, boxes, count = len(bottom), options.num_box, len(options.biases) // 2
        priors = prior_sizes(options.biases, count)
        fits = groups == options.mask_group_num == len(options.anchors_scale) and len(options.mask) == groups * boxes
        if priors is None or not fits or not boxes or any(k >= count for k in options.mask):
            received = f"{groups} bottoms, num_box {boxes}, {len(options.mask)} in mask, {len(options.biases)} biases"
            rule = "each of mask_group_num bottoms needs an anchors_scale and num_box priors, by mask, of all biases"
            raise self.fail(rule, received)
        if min(options.anchors_scale) < 1:
            raise self.fail("anchors_scale must be 1 or more", list(options.anchors_scale))
        masks = np.reshape(options.mask, (groups, boxes))
        self.priors = [priors[mask] / scale for mask, scale in zip(masks, options.anchors_scale, strict=True)]
        self.read_priors(self.priors[0].ravel().tolist(), boxes, options.num_classes)
        self.least, self.suppression = options.confidence_threshold, Suppression(options.nms_threshold)

    def candidates(self, bottom: Blobs) -> Iterator[Found]:
        """Of each item the boxes of each class that scores enough."""
        for boxes, objectness, classes in self.likely(bottom, self.priors, self.least):
            scores = (objectness[:, None] * special.expit(classes)).T
            labels, places = np.nonzero(scores > self.least)
            yield boxes[places], labels, scores[labels, places]
