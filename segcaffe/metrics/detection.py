"""How good a detector is: average precision as PASCAL VOC and as COCO have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from segcaffe.detection.boxes import areas
from segcaffe.detection.judging import average_precision, judge
from segcaffe.detection.scenes import Found, Objects

Array = np.ndarray[Any, Any]
VOC_OVERLAP = 0.5
OVERLAPS = np.linspace(0.5, 0.95, 10)
"""COCO's thresholds of intersection over union."""
_RECALLS = np.linspace(0, 1, 101)
_MOST = 100
"""Detections of a class that COCO looks at in an image."""


class Precision(NamedTuple):
    """Average precisions of one class; NaN where there is nothing to be found.

    Attributes
    ----------
    objects, found:
        How many there are to be found, and how many boxes were found.
    voc_11_point, voc_area:
        PASCAL VOC's, at an overlap of 0.5: the mean over 11 recalls (until 2009), and the area under the curve.
    coco, coco_50, coco_75:
        COCO's: over overlaps of 0.5 to 0.95, and at 0.5 and 0.75 alone.
    """

    objects: int
    found: int
    voc_11_point: float
    voc_area: float
    coco: float
    coco_50: float
    coco_75: float


def precision_of(label: int, found: Sequence[Found], truth: Sequence[Objects]) -> Precision:
    """The average precisions of a class, from its detections and its objects in the same images."""
    pairs = [(boxes.of(label), objects.of(label)) for boxes, objects in zip(found, truth, strict=True)]
    pairs = [pair for pair in pairs if len(pair[0].labels) or len(pair[1].labels)]
    objects = sum(int((~_ignored(wanted)).sum()) for _, wanted in pairs)
    coco = _coco(pairs, objects)
    return Precision(
        objects,
        sum(len(own.labels) for own, _ in pairs),
        *_voc(pairs, objects),
        float(coco.mean()),
        float(coco[0]),
        float(coco[5]),
    )


def _ignored(objects: Objects) -> Array:
    return np.asarray(objects.difficult | objects.crowd)


def _voc(pairs: Sequence[tuple[Found, Objects]], objects: int) -> tuple[float, float]:
    """By 11 points and by area: corners are pixels that belong to their boxes."""
    if not objects:
        return np.nan, np.nan
    scores, hits = [np.empty(0)], [np.empty(0, np.bool_)]
    for own, wanted in pairs:
        right, wrong = judge(own.boxes, wanted.boxes, _ignored(wanted), VOC_OVERLAP, border=1)
        scores.append(own.scores[right | wrong])
        hits.append(right[right | wrong])
    joined, right = np.concatenate(scores), np.concatenate(hits)
    eleven = average_precision(joined, right, objects, "11point")
    return eleven, average_precision(joined, right, objects, "Area")


def _coco(pairs: Sequence[tuple[Found, Objects]], objects: int) -> Array:
    """At each of `OVERLAPS`."""
    if not objects:
        return np.full(len(OVERLAPS), np.nan)
    judged = [_match(own, wanted) for own, wanted in pairs]
    scores = np.concatenate([own.scores[:_MOST] for own, _ in pairs])
    order = np.argsort(-scores, kind="stable")
    right, ignored = (np.concatenate(parts, axis=1)[:, order] for parts in zip(*judged, strict=True))
    hits = (right & ~ignored).cumsum(axis=1, dtype=np.float64)
    misses = (~right & ~ignored).cumsum(axis=1, dtype=np.float64)
    return np.array([_mean_precision(*row, objects) for row in zip(hits, misses, strict=True)])


def _mean_precision(hits: Array, misses: Array, objects: int) -> float:
    """The mean over 101 recalls of the best precision at that recall or a higher one."""
    precision = hits / (hits + misses + np.spacing(1))
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(best[np.searchsorted(hits / objects, _RECALLS)].mean())


def _match(own: Found, wanted: Objects) -> tuple[Array, Array]:
    """Which of an image's best detections are right, and which do not count, at each overlap: (T, K) of bool both.

    The best detection first takes the free object that it overlaps with most, one that counts before one that does not;
    a crowd can be taken again and again.
    """
    order = np.argsort(_ignored(wanted), kind="stable")
    ignored, crowd = _ignored(wanted)[order], wanted.crowd[order]
    shared = _overlaps(own.boxes[:_MOST], wanted.boxes[order], crowd)
    counts = len(OVERLAPS), len(shared)
    right, skipped = np.zeros(counts, np.bool_), np.zeros(counts, np.bool_)
    free = np.ones((len(OVERLAPS), len(order)), np.bool_)
    for i, row in enumerate(shared):
        least, chosen = np.minimum(OVERLAPS, 1 - 1e-10), np.full(len(OVERLAPS), -1)
        for j in np.flatnonzero(row >= least[0]):
            # Objects that do not count come last, and are for those that found nothing else.
            settled = (chosen >= 0) & ~ignored[chosen] & ignored[j]
            take = (free[:, j] | crowd[j]) & ~settled & (row[j] >= least)
            least[take], chosen[take] = row[j], j
        taken = chosen >= 0
        right[:, i], skipped[:, i] = taken, taken & ignored[chosen] if len(order) else False
        free[np.flatnonzero(taken), chosen[taken]] = False
    return right, skipped


def _overlaps(found: Array, wanted: Array, crowd: Array) -> Array:
    """Intersection over union (K, G); over the detection's own area where the object is a crowd."""
    low = np.maximum(found[:, None, :2], wanted[None, :, :2])
    high = np.minimum(found[:, None, 2:], wanted[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    own = np.broadcast_to(areas(found)[:, None], shared.shape)
    union = np.where(crowd[None], own, own + areas(wanted)[None] - shared)
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0))
