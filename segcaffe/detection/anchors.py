"""Anchors of a region proposal network, and the proposals made of them.   [Faster R-CNN: Ren et al., NIPS 2015].

Boxes are in pixels of the image, and both corners belong to them: a box is xmax - xmin + 1 wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from segcaffe.detection.suppression import Suppression, best, stays

Array = np.ndarray[Any, Any]


def base_anchors(base: float, ratios: Sequence[float], scales: Sequence[float]) -> Array:
    """The anchors (A, 4) around the first cell: for each ratio of height to width, at each scale.

    A square of ``base`` pixels from (0, 0) on is brought to a ratio by rounding its width, then its height; then it is
    scaled around its centre.
    """
    middle = (base - 1) / 2
    anchors = []
    for ratio in ratios:
        width = np.round(np.sqrt(base * base / ratio))
        height = np.round(width * ratio)
        for scale in scales:
            half = np.array([width * scale - 1, height * scale - 1]) / 2
            anchors.append([*(middle - half), *(middle + half)])
    return np.array(anchors)


def all_anchors(base: Array, stride: float, height: int, width: int) -> Array:
    """The anchors (H W A, 4) around every cell of a grid, those of a cell one after the other."""
    y, x = np.meshgrid(np.arange(height) * stride, np.arange(width) * stride, indexing="ij")
    shifts = np.stack([x, y, x, y], axis=-1).reshape(-1, 1, 4)
    return np.asarray((shifts + base).reshape(-1, 4))


def shift(boxes: Array, deltas: Array) -> Array:
    """Boxes (N, 4) moved and sized by deltas (N, 4): of the centre in parts of the size, and logarithms of the size."""
    size = boxes[:, 2:] - boxes[:, :2] + 1
    center = boxes[:, :2] + size / 2
    center += deltas[:, :2] * size
    half = np.minimum(deltas[:, 2:], 60)
    np.exp(half, out=half)
    half *= size
    half /= 2
    return np.concatenate([center - half, center + half], axis=1)


def deltas(boxes: Array, targets: Array) -> Array:
    """What `shift` needs to make ``targets`` (N, 4) of boxes (N, 4), as Fast R-CNN trains it."""
    size, wanted = boxes[:, 2:] - boxes[:, :2] + 1, targets[:, 2:] - targets[:, :2] + 1
    move = (targets[:, :2] + wanted / 2 - boxes[:, :2] - size / 2) / size
    return np.concatenate([move, np.log(wanted / size)], axis=1)


class Proposing(NamedTuple):
    """Which boxes become proposals.

    Attributes
    ----------
    smallest:
        Least width and height, in pixels of the image before it was scaled.
    before, after:
        How many of the best are looked at, and how many are kept; 0 and below: all.
    overlap:
        A box falls away whose intersection over union with a better one is larger.
    """

    smallest: float
    before: int
    after: int
    overlap: float


def propose(boxes: Array, scores: Array, image: Array, wanted: Proposing) -> tuple[Array, Array]:
    """The best of boxes (N, 4), cut at the image, and their scores.

    Parameters
    ----------
    scores:
        (N,).
    image:
        Height, width and scale of the image, (3,) or more.
    """
    height, width, scale = (float(value) for value in image[:3])
    limit = np.array([width - 1, height - 1] * 2, boxes.dtype)
    boxes = np.minimum(boxes, limit)
    np.maximum(boxes, 0, out=boxes)
    fits = boxes[:, 2:] - boxes[:, :2] + 1 >= wanted.smallest * scale
    large = np.flatnonzero(fits[:, 0] & fits[:, 1])
    order = large[best(scores[large], wanted.before if wanted.before > 0 else -1)]
    # As wide as pixels count, for suppression knows no borders.
    wide = boxes[order] + np.array([0, 0, 1, 1], boxes.dtype)
    kept = order[stays(wide, Suppression(wanted.overlap, most=wanted.after if wanted.after > 0 else -1))]
    return boxes[kept], scores[kept]
