"""EvalDetection: which boxes of a YOLO are right."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.detection.grid import corners
from segcaffe.detection.ground_truth import TrueBoxes
from segcaffe.detection.judging import judge
from segcaffe.detection.suppression import Suppression, suppress
from segcaffe.layers.base import Blobs
from segcaffe.layers.detection.grids import GridLayer
from segcaffe.layers.registry import register
from segcaffe.proto.caffe_pb2 import EvalDetectionParameter

Array = np.ndarray[Any, Any]
Found = tuple[Array, Array, Array]
"""Boxes (K, 4), their labels and scores (K,)."""
_LEAST = 0.005
"""Boxes of a YOLO v2 that score lower are passed over, as in Darknet."""
_TRUTH = 7
"""Numbers of each cell in a YOLO v1's labels."""


@register
class EvalDetection(GridLayer):
    """For each item the number of true boxes of each class, and its detections judged.

    bottoms: predictions; true boxes; optionally the images, which are not used.
    top: (N, num_class + 4 side² num_object): the numbers; then for each detection label, score, 1 where it is right, 1
    where it is wrong, by rising label and the best first; zeros behind.

    With ``biases`` it is a YOLO v2: predictions (N, num_object (5 + C), side, side), true boxes as of RegionLoss.
    Without, a YOLO v1: predictions (N, C side² + num_object side² + 4 num_object side²), the cells' class
    probabilities, the boxes' objectness, then their x, y, w, h (``constriant``: x and y in their cell; ``sqrt``: w and
    h are roots); labels (N, 7 side²): difficult, whether there is an object, its class, then x, y, w, h of each cell.

    score_type: the objectness, the probability of the best class, or both multiplied. With ``nms`` of 0 or more boxes
    that overlap by more than it with a better one of any class fall away. A detection is right where the true box of
    its class that it overlaps with most does so by at least ``threshold``, and no better one was right about that.
    """

    bottom_count = (2, 3)
    gradient_to = ()
    replayable = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        options = self.param.eval_detection_param
        self.is_grid = bool(options.biases)
        self.check_range("side", options.side, 1, 1 << 10)
        if self.is_grid:
            self.read_priors(options.biases, options.num_object, options.num_class)
        else:
            self.check_range("num_object", options.num_object, 1, 1 << 10)
            self.check_range("num_class", options.num_class, 1, 1 << 16)
            self.classes = options.num_class

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes."""
        options = self.param.eval_detection_param
        cells, predictions = options.side**2, bottom[0]
        items = predictions.shape[0] if predictions.ndim else 0
        if self.is_grid:
            self.check_grid(predictions)
            self.check_truth(bottom[1], items)
            if predictions.shape[2:] != (options.side,) * 2:
                raise self.fail(f"the grid must be of {options.side} x {options.side} cells", predictions.shape)
        elif predictions.count != items * cells * (self.classes + 5 * options.num_object) or not items:
            rule = f"side {options.side}, num_class {self.classes} and num_object {options.num_object} without biases"
            count = cells * (self.classes + 5 * options.num_object)
            raise self.fail(f"{rule} need (N, {count})", f"shape {predictions.shape}")
        elif bottom[1].shape[:1] != (items,) or bottom[1].count != items * cells * _TRUTH:
            raise self.fail(f"the labels must be (N, {_TRUTH * cells})", f"shape {bottom[1].shape}")
        top[0].reshape(items, self.classes + 4 * cells * options.num_object)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Judge item by item."""
        items = bottom[0].shape[0]
        found = self._of_grids(bottom) if self.is_grid else self._of_cells(bottom)
        truths = self.truths(bottom[1], items) if self.is_grid else self._true_cells(bottom)
        out = top[0].data
        out[...] = 0
        for n, (one, truth) in enumerate(zip(found, truths, strict=True)):
            counted = truth.labels[~truth.difficult]
            out[n, : self.classes] = np.bincount(counted, minlength=self.classes)[: self.classes]
            rows = self._judged(one, truth).ravel()
            out[n, self.classes : self.classes + rows.size] = rows

    def _judged(self, found: Found, truth: TrueBoxes) -> Array:
        """The rows of an item (K, 4)."""
        options, (boxes, labels, scores) = self.param.eval_detection_param, found
        order = np.argsort(-scores, kind="stable")
        if options.nms >= 0:
            order = suppress(boxes, scores, Suppression(options.nms))
        if self.is_grid:
            order = order[scores[order] >= _LEAST]
        rows = [np.empty((0, 4))]
        for label in np.unique(labels[order]):
            own, true = order[labels[order] == label], truth.labels == label
            right, wrong = judge(boxes[own], truth.boxes[true], truth.difficult[true], options.threshold)
            rows.append(np.column_stack([labels[own], scores[own], right, wrong]))
        return np.concatenate(rows)

    def _scored(self, objectness: Array, best: Array) -> Array:
        kind = self.param.eval_detection_param.score_type
        if kind == EvalDetectionParameter.OBJ:
            return objectness
        return best if kind == EvalDetectionParameter.PROB else objectness * best

    def _of_grids(self, bottom: Blobs) -> list[Found]:
        found = []
        for grid in self.grids(bottom[0]):
            scores = self._scored(grid.objectness, grid.classes.max(axis=1))
            found.append((grid.boxes.reshape(-1, 4), grid.classes.argmax(axis=1).ravel(), scores.ravel()))
        return found

    def _of_cells(self, bottom: Blobs) -> list[Found]:
        options = self.param.eval_detection_param
        side, count = options.side, options.num_object
        found = []
        for raw in bottom[0].data.reshape(bottom[0].shape[0], -1, side * side).astype(np.float64):
            classes, objectness = raw[: self.classes], raw[self.classes : self.classes + count]
            x, y, w, h = raw[self.classes + count :].reshape(count, 4, -1).swapaxes(0, 1)
            if options.constriant:
                cell = np.arange(side * side)
                x, y = (cell % side + x) / side, (cell // side + y) / side
            if options.sqrt:
                w, h = w * w, h * h
            labels = np.broadcast_to(classes.argmax(axis=0), objectness.shape)
            scores = self._scored(objectness, np.broadcast_to(classes.max(axis=0), objectness.shape))
            # Cell by cell, as ties are decided.
            boxes = corners(np.stack([x, y, w, h], axis=-1)).swapaxes(0, 1)
            found.append((boxes.reshape(-1, 4), labels.T.ravel(), scores.T.ravel()))
        return found

    def _true_cells(self, bottom: Blobs) -> list[TrueBoxes]:
        side = self.param.eval_detection_param.side
        truths = []
        for raw in bottom[1].data.reshape(bottom[1].shape[0], -1).astype(np.float64):
            difficult, there, label = raw[: 3 * side * side].reshape(3, -1)
            own = (there != 0) & (label >= 0) & (label < self.classes)
            boxes = corners(raw[3 * side * side :].reshape(-1, 4)[own])
            truths.append(TrueBoxes(label[own].astype(int), boxes, difficult[own] == 1))
        return truths
