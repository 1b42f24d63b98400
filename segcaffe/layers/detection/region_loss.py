"""RegionLoss: the loss of YOLO v2."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from segcaffe.detection.boxes import overlaps
from segcaffe.detection.grid import COORDS, Grid
from segcaffe.detection.ground_truth import TrueBoxes
from segcaffe.layers.base import Blobs
from segcaffe.layers.detection.grid_loss import GridLoss
from segcaffe.layers.registry import register

Array = np.ndarray[Any, Any]


@register
class RegionLoss(GridLoss):
    """The sum of the squares of what is added to the gradient of each number, over the batch size.

    bottoms: grid (N, num (5 + C), H, W); true boxes (N, 5 G), label from 0, x, y, w, h in parts of the image, the list
    ending at the first width 0; or (1, 1, G, 8) as of MultiBoxLoss. top: scalar.

    A box in the cell of a true box's centre stands for it, the one whose prior (bias_match; otherwise the predicted
    size) overlaps with it most: its x, y, w and h are drawn to it by coord_scale, its objectness p by object_scale to
    the overlap (``rescore``) or to 1, its classes by class_scale. The objectness of the others is drawn to 0 by
    noobject_scale, but where they overlap with a true box by more than ``thresh``. Without rescore coord_scale is
    multiplied by 2 - w h, so that small boxes count more. ``biases`` are the priors' sizes in cells.

    The gradient is not that of the loss, which shows only how large it is.   [Redmon and Farhadi, CVPR 2017; Darknet].
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        options = self.param.region_loss_param
        if options.softmax_tree or options.class_map or options.coords != 4:
            received = (
                f'softmax_tree "{options.softmax_tree}", class_map "{options.class_map}", coords {options.coords}'
            )
            raise self.fail("softmax_tree and class_map are not built, and coords must be 4", received)
        self.read_priors(options.biases, options.num, options.num_class)
        self.rescores, self.by_priors = bool(options.rescore), bool(options.bias_match)

    def slopes(self, grid: Grid, truth: TrueBoxes) -> Array:
        """The slopes of an item (B, 5 + C, H, W)."""
        options, slopes, p = self.param.region_loss_param, np.zeros_like(grid.raw), grid.objectness
        shared = overlaps(grid.boxes.reshape(-1, 4), truth.boxes).reshape(*p.shape, len(truth.boxes))
        free = ~(shared.max(axis=3, initial=0) > options.thresh)
        slopes[:, COORDS] = np.where(free, options.noobject_scale * p * p * (1 - p), 0)
        for k, (label, box) in enumerate(zip(truth.labels, truth.boxes, strict=True)):
            b, row, column = self._place(grid, box)
            own, seen = slopes[b, :, row, column], p[b, row, column]
            self._draw_to(box, grid.raw[b, :, row, column], (b, row, column), p.shape[1:], own)
            wanted = shared[b, row, column, k] if self.rescores else 1
            own[COORDS] = options.object_scale * (seen - wanted) * seen * (1 - seen)
            own[COORDS + 1 :] = options.class_scale * grid.classes[b, :, row, column]
            own[COORDS + 1 + label] -= options.class_scale
        return slopes

    def _place(self, grid: Grid, box: Array) -> tuple[int, int, int]:
        """The box of the grid that stands for a true one: its number, row and column."""
        cells = np.array(grid.objectness.shape[1:])
        center = (box[1::-1] + box[3:1:-1]) / 2
        row, column = np.clip((center * cells).astype(int), 0, cells - 1).tolist()
        predicted = grid.boxes[:, row, column]
        sizes = self.sizes / cells[::-1] if self.by_priors else predicted[:, 2:] - predicted[:, :2]
        origin = np.zeros_like(sizes)
        shared = overlaps(np.hstack([origin, sizes]), np.hstack([[[0.0, 0.0]], [box[2:] - box[:2]]]))
        return int(shared[:, 0].argmax()), row, column

    def _draw_to(self, box: Array, raw: Array, place: tuple[int, int, int], cells: tuple[int, ...], own: Array) -> None:
        """Set the slopes of x, y, w, h."""
        b, row, column = place
        size = box[2:] - box[:2]
        scale = self.param.region_loss_param.coord_scale * (1 if self.rescores else 2 - size.prod())
        grid_size = np.array(cells[::-1])
        inside = special.expit(raw[:2])
        target = (box[:2] + box[2:]) / 2 * grid_size - (column, row)
        own[:2] = scale * (inside - target) * inside * (1 - inside)
        own[2:COORDS] = scale * (raw[2:COORDS] - np.log(size * grid_size / self.sizes[b]))
