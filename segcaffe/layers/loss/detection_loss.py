"""DetectionLoss: YOLO v1's loss of grids of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.detection.boxes import overlaps
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.registry import register

Array = np.ndarray[Any, Any]
_CELL = 7
"""Numbers of each cell in the labels."""


@register
class DetectionLoss(LossLayer):
    """The squared errors of a grid's classes, objectness and boxes.   [YOLO: Redmon et al., CVPR 2016].

    bottoms: predictions (N, C side² + num_object side² + 4 num_object side²): the cells' class probabilities, the
    boxes' objectness, then their x, y, w, h; labels (N, 7 side²) as of BoxData.
    top: scalar.

    In a cell with an object the box that overlaps most with it, or else lies nearest, answers for it: its objectness
    should be their overlap (the loss shows its distance to 1), its x, y, w, h those of the object, with ``constriant``
    x and y in their cell, with ``sqrt`` the roots of w and h; the class probabilities should be 1 and 0. All other
    boxes' objectness should be 0. Each part of the loss is divided by the number of its objects (boxes without one);
    the gradient is the sum of all errors over the batch's size, as in the original, and not that of the loss.
    """

    replayable = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        options = self.param.detection_loss_param
        for name, most in (("side", 1 << 10), ("num_class", 1 << 16), ("num_object", 1 << 10)):
            self.check_range(f"detection_loss_param.{name}", getattr(options, name), 1, most)
        self.side, self.classes, self.objects = options.side, options.num_class, options.num_object
        self.roots, self.in_cells = options.sqrt, options.constriant

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sizes."""
        super().reshape(bottom, top)
        cells, items = self.side**2, bottom[0].shape[0]
        for i, width in enumerate(((self.classes + 5 * self.objects) * cells, _CELL * cells)):
            if bottom[i].count != items * width:
                rule = f"side {self.side}, num_class {self.classes} and num_object {self.objects} need bottom {i}"
                raise self.fail(f"{rule} of {width} numbers an item", f"shape {bottom[i].shape}")

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Sum the parts; the errors are kept for backward."""
        items, cells = bottom[0].shape[0], self.side**2
        values = bottom[0].data.reshape(items, self.classes + 5 * self.objects, cells).astype(np.float64)
        labels = bottom[1].data.reshape(items, _CELL, cells).astype(np.float64)
        scores, sure = values[:, : self.classes], values[:, self.classes : self.classes + self.objects]
        boxes = values[:, self.classes + self.objects :].reshape(items, self.objects, 4, cells)
        options = self.param.detection_loss_param
        self._error = np.zeros_like(values)
        of_sure = self._error[:, self.classes : self.classes + self.objects]
        of_boxes = self._error[:, self.classes + self.objects :].reshape(boxes.shape)
        of_sure[...] = options.noobject_scale * sure
        item, cell = np.nonzero(labels[:, 1])
        label = self._class_numbers(labels[item, 2, cell])
        true_boxes = labels[:, 3:].reshape(items, cells, 4)[item, cell]
        best, overlap = self._best(boxes[item, :, :, cell], true_boxes, cell)
        target = np.zeros((len(item), self.classes))
        target[np.arange(len(item)), label] = 1
        wrong = scores[item, :, cell] - target
        off = boxes[item, best, :, cell] - self._coded(true_boxes, cell)
        chosen = sure[item, best, cell]
        self._error[item, : self.classes, cell] = options.class_scale * wrong
        of_sure[item, best, cell] = options.object_scale * (chosen - overlap)
        of_boxes[item, best, :, cell] = options.coord_scale * off
        parts = options.class_scale * (wrong**2).sum() + options.coord_scale * (off**2).sum()
        parts += options.object_scale * ((chosen - 1) ** 2).sum()
        others = options.noobject_scale * ((sure**2).sum() - (chosen**2).sum())
        top[0].data[...] = parts / max(1, len(item)) + others / max(1, sure.size - len(item))

    def _class_numbers(self, values: Array) -> Array:
        label: Array = values.astype(int)
        if ((label < 0) | (label >= self.classes)).any():
            wrong = label[(label < 0) | (label >= self.classes)][0]
            raise DataError(f"{self.where}: the class of an object lies in 0..{self.classes - 1}. Received: {wrong}.")
        return label

    def _best(self, boxes: Array, true_boxes: Array, cell: Array) -> tuple[Array, Array]:
        """Which of a cell's boxes (K, objects, 4) answers for its object (K, 4), and their overlap."""
        boxes = boxes.copy()
        if self.in_cells:
            boxes[:, :, 0] = (cell[:, None] % self.side + boxes[:, :, 0]) / self.side
            boxes[:, :, 1] = (cell[:, None] // self.side + boxes[:, :, 1]) / self.side
        if self.roots:
            boxes[:, :, 2:] **= 2
        best, shared = np.zeros(len(boxes), int), np.zeros(len(boxes))
        for i, (own, true_box) in enumerate(zip(boxes, true_boxes, strict=True)):
            ious = overlaps(_corners(own), _corners(true_box[None]))[:, 0]
            distances = np.sqrt(((own - true_box) ** 2).sum(axis=1))
            best[i] = ious.argmax() if ious.max() > 0 else distances.argmin()
            shared[i] = ious.max()
        return best, shared

    def _coded(self, boxes: Array, cell: Array) -> Array:
        """What the predictions of true boxes (K, 4) should be."""
        coded: Array = boxes.copy()
        if self.in_cells:
            coded[:, 0] = boxes[:, 0] * self.side - cell % self.side
            coded[:, 1] = boxes[:, 1] * self.side - cell // self.side
        if self.roots:
            coded[:, 2:] = np.sqrt(np.maximum(boxes[:, 2:], 0))
        return coded

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The errors over the batch's size."""
        if propagate_down[0]:
            scale = float(top[0].diff) / max(1, bottom[0].shape[0])
            bottom[0].diff = (self._error * scale).reshape(bottom[0].shape)


def _corners(boxes: Array) -> Array:
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
