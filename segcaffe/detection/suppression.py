"""Non-maximum suppression: of boxes that overlap, the one with the highest score stays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from segcaffe.kernels import nms

Array = np.ndarray[Any, Any]


class Suppression(NamedTuple):
    """What is kept of one class.

    Attributes
    ----------
    overlap:
        A box falls away whose intersection over union with a better one is larger.
    top_k:
        Only so many of the best are looked at at all; negative: all.
    eta:
        Below 1 the threshold, while above 0.5, is multiplied by it for each box that stays.
    score:
        Boxes must score higher than this.
    most:
        How many stay at most; negative: all.
    """

    overlap: float
    top_k: int = -1
    eta: float = 1.0
    score: float = -np.inf
    most: int = -1


def suppress(boxes: Array, scores: Array, wanted: Suppression) -> Array:
    """Which boxes stay, the best first; of equal scores the first.

    Parameters
    ----------
    boxes, scores:
        (N, 4) and (N,).

    Returns
    -------
    Array
        Their numbers (K,).
    """
    candidates = np.flatnonzero(scores > wanted.score)
    candidates = candidates[best(scores[candidates], wanted.top_k)]
    return candidates[stays(boxes[candidates], wanted)]


def stays(boxes: Array, wanted: Suppression) -> Array:
    """Which of boxes (N, 4), the best first, stay: (N,) of bool."""
    found = np.empty(len(boxes), np.bool_)
    nms.suppress(boxes, wanted.overlap, wanted.eta, found, wanted.most)
    return found


def best(scores: Array, count: int) -> Array:
    """The numbers of the ``count`` highest scores (negative: of all), the best first, of equals the first.

    What is no number comes last.
    """
    falling = -scores
    if not 0 < count < len(scores) or np.isnan(last := np.partition(falling, count - 1)[count - 1]):
        order = np.argsort(falling, kind="stable")
        return order[:count] if count > -1 else order
    # The others need not be sorted.
    several = np.flatnonzero(falling <= last)
    return np.asarray(several[np.argsort(falling[several], kind="stable")[:count]])
