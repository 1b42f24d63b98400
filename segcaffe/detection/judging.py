"""Which detections are right, and how good a detector is by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from segcaffe.detection.boxes import overlaps

Array = np.ndarray[Any, Any]
_SAME = 1e-6
"""Recalls that differ by less are equal."""


def judge(
    boxes: Array, true_boxes: Array, difficult: Array, overlap: float, border: float = 0.0
) -> tuple[Array, Array]:
    """Tell right from wrong among the detections of one class in one image.

    A detection is right where the true box that it overlaps with most overlaps with it by at least ``overlap`` and no
    better detection was right about it. One whose true box is difficult is neither right nor wrong.

    Parameters
    ----------
    boxes:
        (N, 4), the best first.
    true_boxes, difficult:
        (G, 4) and (G,) of bool.

    Returns
    -------
    tuple[Array, Array]
        Which are right and which are wrong, (N,) of bool both.
    """
    right, wrong = np.zeros(len(boxes), np.bool_), np.ones(len(boxes), np.bool_)
    if not len(true_boxes):
        return right, wrong
    shared = overlaps(boxes, true_boxes, border)
    best = shared.argmax(axis=1)
    taken = np.zeros(len(true_boxes), np.bool_)
    for i in np.flatnonzero(shared.max(axis=1) >= overlap):
        own = best[i]
        right[i] = not (difficult[own] or taken[own])
        wrong[i] = not difficult[own] and taken[own]
        taken[own] |= right[i]
    return right, wrong


def average_precision(scores: Array, right: Array, positives: int, version: str) -> float:
    """The area under a detector's curve of precision against recall, for one class.

    Parameters
    ----------
    scores, right:
        (N,) of all detections that are right or wrong.
    positives:
        How many boxes there are to be found.
    version:
        A key of `AVERAGES`: ``11point`` (VOC 2007), ``101point`` (COCO), ``Integral`` of the curve as it is,
        ``MaxIntegral`` of its upper hull, as SSD has it, or ``Area`` below that hull (VOC 2010).

    Returns
    -------
    float
        In 0..1; 0 where nothing is found.
    """
    if not len(scores) or not positives:
        return 0.0
    hits = right[np.argsort(-scores, kind="stable")].cumsum()
    return AVERAGES[version](hits / np.arange(1, len(scores) + 1), hits / positives)


def _points(count: int) -> Callable[[Array, Array], float]:
    def average(precision: Array, recall: Array) -> float:
        """The mean over equally spaced recalls of the best precision at that recall or a higher one."""
        best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
        return float(best[np.searchsorted(recall, np.arange(count) / (count - 1))].mean())

    return average


def _integral(precision: Array, recall: Array) -> float:
    step = np.diff(recall, prepend=0)
    return float((precision * step)[step > _SAME].sum())


def _max_integral(precision: Array, recall: Array) -> float:
    # SSD takes the best precision from the beginning of each step on, not from its end as VOC does.
    best = np.maximum.accumulate(precision[::-1])[::-1]
    step = np.diff(recall)
    return float((best[:-1] * step)[step > _SAME].sum() + best[0] * recall[0])


def _area(precision: Array, recall: Array) -> float:
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * np.diff(recall, prepend=0)).sum())


AVERAGES: Mapping[str, Callable[[Array, Array], float]] = {
    "11point": _points(11),
    "101point": _points(101),
    "Integral": _integral,
    "MaxIntegral": _max_integral,
    "Area": _area,
}
