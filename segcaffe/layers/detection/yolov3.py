"""Yolov3: the loss of YOLO v3."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from segcaffe.detection.boxes import overlaps
from segcaffe.detection.grid import COORDS, Grid, prior_sizes
from segcaffe.detection.ground_truth import TrueBoxes
from segcaffe.layers.base import Blobs
from segcaffe.layers.detection.grid_loss import GridLoss
from segcaffe.layers.registry import register
from segcaffe.proto.caffe_pb2 import Yolov3Parameter

Array = np.ndarray[Any, Any]


@register
class Yolov3(GridLoss):
    """The sum of the squares of what is added to the gradient of each number, over the batch size.

    bottoms: grid (N, num (5 + C), H, W); true boxes (N, 5 G), label from 0, x, y, w, h in parts of the image, the list
    ending at the first width 0; or (1, 1, G, 8) as of MultiBoxLoss. top: scalar.

    ``biases`` are the priors of all grids, in pixels of the net's input, of which ``mask`` picks those of this one;
    ``anchors_scale`` is the size of a cell. A true box belongs to the prior that overlaps with it most, and to others
    that do by more than iou_thresh; those of this grid are drawn to it in the cell of its centre: x, y, w and h by
    coord_scale times 2 - w h, the objectness to 1 (with use_logic_gradient by object_scale), each class's probability
    (sigmoid) by class_scale to 1 or 0, or with label_smooth_eps as much less. The objectness of the others is drawn to
    0, but where they overlap with a true box by more than ``thresh``.

    The gradient is not that of the loss, which shows only how large it is.   [YOLO v3: Redmon and Farhadi 2018].
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options and the priors."""
        options = self.param.yolov3_param
        if options.use_focal_loss or options.iou_loss != Yolov3Parameter.MSE:
            received = f"use_focal_loss {options.use_focal_loss}, {Yolov3Parameter.IOU_LOSS.Name(options.iou_loss)}"
            raise self.fail("use_focal_loss is not built, and of iou_loss only MSE", received)
        self.check_range("anchors_scale", options.anchors_scale, 1, 1 << 16)
        count = len(options.biases) // 2
        priors = prior_sizes(options.biases, count)
        self.mask = list(options.mask)
        if priors is None or len(self.mask) != options.num or any(k >= count for k in self.mask):
            received = f"num {options.num}, mask {self.mask}, {len(options.biases)} biases"
            raise self.fail("mask must name num priors, and biases be the widths and heights of all", received)
        self.priors = priors / options.anchors_scale
        self.read_priors(self.priors[self.mask].ravel().tolist(), options.num, options.num_class)

    def slopes(self, grid: Grid, truth: TrueBoxes) -> Array:
        """The slopes of an item's numbers (B, 5 + C, H, W)."""
        options, slopes = self.param.yolov3_param, np.zeros_like(grid.raw)
        shared = overlaps(grid.boxes.reshape(-1, 4), truth.boxes).max(axis=1, initial=0)
        free = shared.reshape(grid.objectness.shape) <= options.thresh
        slopes[:, COORDS] = np.where(free, grid.objectness, 0)
        cells = np.array(grid.objectness.shape[:0:-1])
        for label, box in zip(truth.labels, truth.boxes, strict=True):
            size, center = box[2:] - box[:2], (box[:2] + box[2:]) / 2 * cells
            column, row = np.clip(center.astype(int), 0, cells - 1)
            for b in self._owners(size * cells):
                own, raw = slopes[b, :, row, column], grid.raw[b, :, row, column]
                scale = options.coord_scale * (2 - size.prod())
                own[:2] = scale * (special.expit(raw[:2]) - (center - (column, row)))
                own[2:COORDS] = scale * (raw[2:COORDS] - np.log(size * cells / self.sizes[b]))
                factor = options.object_scale if options.use_logic_gradient else 1
                own[COORDS] = factor * (grid.objectness[b, row, column] - 1)
                self._draw_classes(raw[COORDS + 1 :], int(label), own[COORDS + 1 :])
        return slopes

    def _owners(self, size: Array) -> list[int]:
        """Which boxes of this grid a true box of that size, in cells, belongs to."""
        origin = np.zeros_like(self.priors)
        shared = overlaps(np.hstack([origin, self.priors]), np.hstack([[0, 0], size])[None])[:, 0]
        best, least = int(shared.argmax()), self.param.yolov3_param.iou_thresh
        return [b for b, prior in enumerate(self.mask) if prior == best or (least < 1 and shared[prior] > least)]

    def _draw_classes(self, raw: Array, label: int, own: Array) -> None:
        """Set the slopes of the classes; where the cell has a class already, of this one alone."""
        options, chances = self.param.yolov3_param, special.expit(raw)
        smooth = options.label_smooth_eps
        target = np.full(len(raw), smooth / 2)
        target[label] += 1 - smooth
        which = slice(label, label + 1) if own[label] else slice(None)
        own[which] = options.class_scale * (chances - target)[which]
