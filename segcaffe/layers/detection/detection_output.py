"""DetectionOutput: from a detector's predictions to boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.detection.boxes import Code, decode
from segcaffe.detection.suppression import Suppression, suppress
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto.caffe_pb2 import PriorBoxParameter

Array = np.ndarray[Any, Any]
ROW = 7
"""Numbers of a detection: item, label, score, xmin, ymin, xmax, ymax."""


@register
class DetectionOutput(Layer):
    """The boxes that a detector found: decoded, those below others taken away, the best kept.

    bottoms: locations (N, 4 P) or, where classes do not share them, (N, 4 P C); confidences (N, P C); priors and
    variances (1, 2, 4 P).
    top: (1, 1, K, 7): item of the batch, label, score, xmin, ymin, xmax, ymax, in parts of the image and not clipped;
    the best of an item first. Where nothing at all is found there is a row (item, -1, ...) for each item.

    Of each class but the background, those above confidence_threshold, at most nms_param.top_k of them, pass
    non-maximum suppression; of all classes the keep_top_k best are kept.   [SSD: Liu et al., ECCV 2016].
    """

    bottom_count = (3, 3)
    gradient_to = ()
    refuses_gradient = False
    detects = True
    replayable = False
    recomputes = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        options = self.param.detection_output_param
        self.classes, self.shared = options.num_classes, options.share_location
        if self.classes < 1:
            raise self.fail("detection_output_param.num_classes must be given", self.classes)
        self.background, self.keep_top_k = options.background_label_id, options.keep_top_k
        kind = PriorBoxParameter.CodeType.Name(options.code_type)
        self.coding = Code(kind, options.variance_encoded_in_target)
        score = options.confidence_threshold if options.HasField("confidence_threshold") else -np.inf
        nms = options.nms_param
        self.suppression = Suppression(nms.nms_threshold, nms.top_k if nms.HasField("top_k") else -1, nms.eta, score)
        if nms.nms_threshold < 0 or not 0 < nms.eta <= 1:
            raise self.fail(
                "nms_param.nms_threshold must not be below 0, and eta must be above 0 and at most 1",
                (nms.nms_threshold, nms.eta),
            )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes; how much is found shows in forward."""
        locations, confidences, priors = bottom
        if priors.ndim != 3 or priors.shape[:2] != (1, 2) or priors.shape[2] % 4:
            raise self.fail("bottom 2, priors and variances, must be (1, 2, 4 P)", f"shape {priors.shape}")
        self.priors = priors.shape[2] // 4
        if not locations.shape:
            raise self.fail("bottom 0, the locations, must have a batch axis", "a scalar")
        wanted = (self.priors * 4 * (1 if self.shared else self.classes), self.priors * self.classes)
        for i, (blob, count) in enumerate(zip((locations, confidences), wanted, strict=True)):
            if blob.shape[:1] != locations.shape[:1] or blob.count != count * locations.shape[0]:
                raise self.fail(
                    f"for {self.priors} priors and {self.classes} classes bottom {i} must be (N, {count})",
                    f"shape {blob.shape}",
                )
        top[0].reshape(1, 1, 1, ROW)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Find the boxes, item by item."""
        items = bottom[0].shape[0]
        priors, variances = bottom[2].data.reshape(2, self.priors, 4)
        locations = bottom[0].data.reshape(items, self.priors, -1, 4).swapaxes(1, 2)
        confidences = bottom[1].data.reshape(items, self.priors, self.classes)
        found = [
            self._found(n, decode(self.coding, priors, variances, locations[n]), confidences[n].T) for n in range(items)
        ]
        rows = np.concatenate(found)
        if not len(rows):
            rows = np.full((items, ROW), -1, self.dtype)
            rows[:, 0] = np.arange(items)
        top[0].reshape(1, 1, len(rows), ROW)
        top[0].data[0, 0] = rows

    def _found(self, item: int, boxes: Array, scores: Array) -> Array:
        """The detections of an item (K, 7), from boxes (1 or C, P, 4) and scores (C, P)."""
        parts = []
        for label in range(self.classes):
            if label == self.background:
                continue
            own = boxes[0 if self.shared else label]
            kept = suppress(own, scores[label], self.suppression)
            rows = np.empty((len(kept), ROW), self.dtype)
            rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3:] = item, label, scores[label, kept], own[kept]
            parts.append(rows)
        rows = np.concatenate(parts) if parts else np.empty((0, ROW), self.dtype)
        rows = rows[np.argsort(-rows[:, 2], kind="stable")]
        return rows[: self.keep_top_k] if self.keep_top_k > -1 else rows

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Boxes that were found have no gradient."""
