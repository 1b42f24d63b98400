"""Boxes on a grid of cells, as YOLO v2 predicts them.   [Redmon and Farhadi, CVPR 2017]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from segcaffe.detection import ground_truth
from segcaffe.detection.ground_truth import TrueBoxes

Array = np.ndarray[Any, Any]
COORDS = 4
CENTERED_ROW = 5
"""Numbers of a true box in YOLO's own form: label, x and y of its centre, width, height."""


class Grid(NamedTuple):
    """What a grid predicts for one item: B boxes for each cell.

    Attributes
    ----------
    raw:
        (B, 5 + C, H, W), the net's numbers: x, y, w, h, objectness, scores of the classes.
    boxes:
        (B, H, W, 4), corners in parts of the image.
    objectness, classes:
        (B, H, W) and (B, C, H, W): probabilities.
    """

    raw: Array
    boxes: Array
    objectness: Array
    classes: Array


class Likely(NamedTuple):
    """The K boxes of a grid that may be objects.

    Attributes
    ----------
    boxes:
        (K, 4), corners in parts of the image.
    objectness:
        (K,): probabilities.
    classes:
        (K, C): the net's numbers.
    """

    boxes: Array
    objectness: Array
    classes: Array


def likely(raw: Array, sizes: Array, least: float) -> Likely:
    """Decode those boxes of (B, 5 + C, H, W) alone, as `decode` does, whose objectness is ``least`` or more."""
    objectness = special.expit(raw[:, COORDS].astype(np.float64))
    prior, row, column = np.nonzero(objectness >= least)
    numbers = raw[prior, :, row, column].astype(np.float64)
    boxes = _boxes(numbers[:, :COORDS].T, (column, row), sizes[prior], raw.shape[2:])
    return Likely(boxes, objectness[prior, row, column], numbers[:, COORDS + 1 :])


def decode(raw: Array, sizes: Array) -> Grid:
    """Decode the numbers (B, 5 + C, H, W) of an item.

    A box's centre lies at the sigmoid of x and y in its cell, its size is exp(w), exp(h) times its prior's size
    (``sizes``, (B, 2), in cells).
    """
    height, width = raw.shape[2:]
    cells = np.arange(width), np.arange(height)[:, None]
    boxes = _boxes(raw[:, :COORDS].swapaxes(0, 1), cells, sizes[:, None, None], (height, width))
    return Grid(raw, boxes, special.expit(raw[:, COORDS]), special.softmax(raw[:, COORDS + 1 :], axis=1))


def _boxes(numbers: Sequence[Array] | Array, cells: Sequence[Array], sizes: Array, shape: Sequence[int]) -> Array:
    """Corners (..., 4) of the boxes of x, y, w and h (...), in cells (column, row) of a grid of ``shape``."""
    x, y, w, h = numbers
    height, width = shape
    x = (cells[0] + special.expit(x)) / width
    y = (cells[1] + special.expit(y)) / height
    with np.errstate(over="ignore"):  # A box that a wild net makes infinite is not kept from the others.
        w = np.exp(w) * (sizes[..., 0] / width)
        h = np.exp(h) * (sizes[..., 1] / height)
    return corners(np.stack([x, y, w, h], axis=-1))


def corners(centered: Array) -> Array:
    """Boxes (..., 4) by their corners, from centre, width and height."""
    halves = centered[..., 2:] / 2
    return np.concatenate([centered[..., :2] - halves, centered[..., :2] + halves], axis=-1)


def prior_sizes(biases: Sequence[float], count: int) -> Array | None:
    """Widths and heights (count, 2) of the priors, in cells; None unless there are ``count`` of them, above 0."""
    sizes = np.array(biases, np.float64)
    return sizes.reshape(count, 2) if sizes.size == 2 * count and (sizes > 0).all() else None


def holds_true_boxes(shape: tuple[int, ...], items: int) -> bool:
    """Whether a blob of true boxes is (1, 1, G, 8) as of SSD, or (N, 5 G) in YOLO's form."""
    is_rows = len(shape) == 4 and shape[:2] == (1, 1) and shape[3] == ground_truth.ROW
    return is_rows or (len(shape) > 1 and shape[0] == items and int(np.prod(shape[1:])) % CENTERED_ROW == 0)


def true_boxes(labels: Array, items: int) -> list[TrueBoxes]:
    """The true boxes of each item, labels from 0 on.

    In SSD's form (1, 1, G, 8) label 0 is the background, and left out. In YOLO's (N, 5 G) boxes end at the first one
    without a width.
    """
    if labels.ndim == 4 and labels.shape[:2] == (1, 1) and labels.shape[3] == ground_truth.ROW:
        rows = labels.reshape(-1, ground_truth.ROW).astype(np.float64)
        rows[:, 1] -= 1
        return [TrueBoxes.of_item(rows, item) for item in range(items)]
    found = []
    count = labels.size // CENTERED_ROW // max(1, items)
    for own in labels.reshape(items, count, CENTERED_ROW).astype(np.float64):
        ends = np.flatnonzero(own[:, 3] == 0)
        given = own[: ends[0]] if ends.size else own
        found.append(TrueBoxes(given[:, 0].astype(int), corners(given[:, 1:]), np.zeros(len(given), np.bool_)))
    return found
