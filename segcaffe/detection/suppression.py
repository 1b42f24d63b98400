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
    """

    overlap: float
    top_k: int = -1
    eta: float = 1.0
    score: float = -np.inf


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
    order = np.argsort(-scores[candidates], kind="stable")
    if wanted.top_k > -1:
        order = order[: wanted.top_k]
    candidates = candidates[order]
    stays = np.empty(len(candidates), np.bool_)
    nms.suppress(boxes[candidates], wanted.overlap, wanted.eta, stays)
    return candidates[stays]
