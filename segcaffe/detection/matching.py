"""Which prior box stands for which true box, and which stand for the background.

[SSD: Liu et al., ECCV 2016, section 2.2, "Matching strategy" and "Hard negative mining"].
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from segcaffe.detection.boxes import overlaps

Array = np.ndarray[Any, Any]
UNMATCHED, IGNORED = -1, -2
_NO_OVERLAP = 1e-6


class Matching(NamedTuple):
    """How boxes are matched.

    Attributes
    ----------
    per_prediction:
        Whether boxes that are no true box's best are matched as well, with the one that they overlap with most.
    overlap:
        The least overlap of those.
    ignore_crossing:
        Whether boxes that reach beyond the image take no part.
    """

    per_prediction: bool
    overlap: float
    ignore_crossing: bool


def match(wanted: Matching, boxes: Array, true_boxes: Array) -> tuple[Array, Array]:
    """For each box (P, 4) its true box (G, 4), and its overlap.

    First every true box gets the box that it overlaps with most, the largest overlap of all first; then, if wanted,
    the remaining boxes get the true box that they overlap with most, where that is enough.

    Returns
    -------
    tuple[Array, Array]
        (P,): the number of the true box, `UNMATCHED` or `IGNORED`; and (P,): the overlap with it, for boxes without
        one the largest.
    """
    matches = np.full(len(boxes), UNMATCHED)
    if not len(true_boxes):
        return matches, np.zeros(len(boxes), boxes.dtype)
    shared = overlaps(boxes, true_boxes)
    shared[shared <= _NO_OVERLAP] = 0
    if wanted.ignore_crossing:
        matches[((boxes < 0) | (boxes > 1)).any(axis=1)] = IGNORED
        shared[matches == IGNORED] = 0
    best = shared.max(axis=1)
    left = shared.copy()
    for _ in range(len(true_boxes)):
        box, true_box = np.unravel_index(left.argmax(), left.shape)
        if left[box, true_box] <= 0:
            break
        matches[box], best[box] = true_box, left[box, true_box]
        left[box], left[:, true_box] = 0, 0
    if wanted.per_prediction:
        more = (matches == UNMATCHED) & (best > 0) & (best >= wanted.overlap)
        matches[more] = shared[more].argmax(axis=1)
    return matches, best
