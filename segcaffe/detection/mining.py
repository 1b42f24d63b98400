"""Which boxes a loss looks at: far more show background than anything else."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from segcaffe.detection.matching import UNMATCHED
from segcaffe.detection.suppression import Suppression, suppress

Array = np.ndarray[Any, Any]


class Mining(NamedTuple):
    """How boxes are chosen.

    Attributes
    ----------
    kind:
        ``MAX_NEGATIVE``: of the boxes without a true box those with the largest loss. ``HARD_EXAMPLE``: of all boxes
        those with the largest loss. ``NONE``: every box counts.
    ratio:
        With the first so many for each box that has a true box.
    overlap:
        And only those that overlap less with every true box.
    most:
        With the second so many.
    suppression:
        Of boxes that overlap only the one with the largest loss can be chosen; None: all can.
    """

    kind: str
    ratio: float
    overlap: float
    most: int
    suppression: Suppression | None


def choose(
    mining: Mining, matches: Array, best: Array, loss: Array, boxes: Array, allowed: Array | None = None
) -> Array:
    """Choose among boxes (P, 4) by their matches, overlaps and losses (P,); returns which are chosen (P,).

    ``allowed`` says which may be chosen (P,); None: all.
    """
    if mining.kind == "MAX_NEGATIVE":
        candidates = np.flatnonzero((matches == UNMATCHED) & (best < mining.overlap))
        count = int((matches > UNMATCHED).sum() * mining.ratio)
    else:
        candidates, count = np.arange(len(matches)), mining.most
    if allowed is not None:
        candidates = candidates[allowed[candidates]]
    if mining.suppression is None:
        order = np.argsort(-loss[candidates], kind="stable")
    else:
        order = suppress(boxes[candidates], loss[candidates], mining.suppression)
    chosen = np.zeros(len(matches), np.bool_)
    chosen[candidates[order[:count]]] = True
    return chosen
