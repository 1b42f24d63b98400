"""DetectionOutput: from a detector's predictions to boxes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from segcaffe.detection.boxes import Code, decode
from segcaffe.detection.suppression import Suppression, suppress
from segcaffe.layers.base import Blobs, Count, Layer
from segcaffe.layers.detection.predictions import Bottoms, Predictions
from segcaffe.layers.detection.saved_boxes import SavedBoxes
from segcaffe.layers.registry import register
from segcaffe.proto.caffe_pb2 import PriorBoxParameter

Array = np.ndarray[Any, Any]
log = logging.getLogger(__name__)
ROW = 7
"""Numbers of a detection: item, label, score, xmin, ymin, xmax, ymax."""


@register
class DetectionOutput(Layer):
    """The boxes that a detector found: decoded, those below others taken away, the best kept.

    bottoms: locations (N, 4 P) or, where classes do not share them, (N, 4 P C); confidences (N, P C); priors and
    variances (1, 2, 4 P); of nets with two stages then confidences (N, 2 P) and locations (N, 4 P) of the first, which
    moves the priors, and takes away those that are objects less likely than objectness_score. Or nbottom confidences,
    nbottom locations, and the priors of all, or of each: with no_permute (N, C, R, H W) and (N, 4 R, H, W).
    top: (1, 1, K, 7): item of the batch, label, score, xmin, ymin, xmax, ymax, in parts of the image and not clipped;
    the best of an item first. Where nothing at all is found there is a row (item, -1, ...) for each item.

    Of each class but the background, those above confidence_threshold, at most nms_param.top_k of them, pass
    non-maximum suppression; of all classes the keep_top_k best are kept.   [SSD: Liu et al., ECCV 2016].

    With save_output_param the boxes are written, in pixels, when those of num_test_image images are there (unless given
    all of name_size_file, whose lines are ``name height width``): VOC has a file ``<directory>/<prefix><name>.txt`` for
    each name of label_map_file (lines of image, score, corners), ILSVRC ``<prefix>.txt`` (image, label, score,
    corners), COCO ``<prefix>.json``. visualize has no effect, nor has a fourth bottom, its images.
    """

    bottom_count: ClassVar[Count] = (3, None)
    written_option = "detection_output_param.save_output_param.output_directory"
    gradient_to = ()
    refuses_gradient = False
    detects = True
    row: ClassVar[int] = ROW
    """Numbers of a detection."""
    open_axis = 2
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
        self.objectness = options.objectness_score
        self.bottoms = Bottoms(self, options, bottom)
        self.saved = self._saved_boxes()

    def _saved_boxes(self) -> SavedBoxes | None:
        """What writes the boxes into files, where the options ask for them."""
        options = self.param.detection_output_param.save_output_param
        if not options.output_directory:
            return None
        if not options.label_map_file or not options.name_size_file:
            log.warning(
                "%s: writes no boxes: save_output_param has no %s.",
                self.where,
                "name_size_file" if options.label_map_file else "label_map_file",
            )
            return None
        return SavedBoxes(self, options, self.background)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes; how much is found shows in forward."""
        self.priors = self.bottoms.check(bottom)
        top[0].reshape(1, 1, 1, self.row)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Find the boxes, item by item."""
        items = bottom[0].shape[0]
        given = self.bottoms.read(bottom, self.priors)
        rows = np.concatenate([self._found(n, self._boxes(n, given), self._scores(n, given).T) for n in range(items)])
        if self.saved is not None:
            self.saved.add(rows, items)
        if not len(rows):
            rows = np.full((items, self.row), -1, self.dtype)
            rows[:, 0] = np.arange(items)
        top[0].reshape(1, 1, len(rows), self.row)
        top[0].data[0, 0] = rows

    def _boxes(self, item: int, given: Predictions) -> Array:
        """The boxes (1 or C, P, 4) of an item."""
        priors = given.priors
        if given.shifts is not None:
            priors = decode(self.coding, priors, given.variances, given.shifts[item])
        return decode(self.coding, priors, given.variances, given.locations[item].swapaxes(0, 1))

    def _scores(self, item: int, given: Predictions) -> Array:
        """The scores (P, C) of an item: of what is no object only the first class."""
        scores: Array = given.confidences[item]
        if given.objectness is None:
            return scores
        nothing = np.arange(self.classes) == 0
        return np.where((given.objectness[item] < self.objectness)[:, None], nothing.astype(scores.dtype), scores)

    def _found(self, item: int, boxes: Array, scores: Array) -> Array:
        """The detections of an item (K, 7), from boxes (1 or C, P, 4) and scores (C, P)."""
        parts = []
        for label in range(self.classes):
            if label == self.background:
                continue
            own = boxes[0 if self.shared else label]
            kept = suppress(own, scores[label], self.suppression)
            rows = np.empty((len(kept), self.row), self.dtype)
            rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3:ROW] = item, label, scores[label, kept], own[kept]
            self.fill(rows, kept)
            parts.append(rows)
        rows = np.concatenate(parts) if parts else np.empty((0, self.row), self.dtype)
        rows = rows[np.argsort(-rows[:, 2], kind="stable")]
        return rows[: self.keep_top_k] if self.keep_top_k > -1 else rows

    def fill(self, rows: Array, priors: Array) -> None:
        """Write what rows have beyond the box, from the numbers of their priors (K,)."""

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Boxes that were found have no gradient."""
