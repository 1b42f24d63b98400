"""COCO's twelve figures of a detector, for one class, as pycocotools gives them.   [Lin et al., ECCV 2014]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from segcaffe.detection.boxes import areas
from segcaffe.detection.scenes import Found, Objects

Array = np.ndarray[Any, Any]
OVERLAPS = np.linspace(0.5, 0.95, 10)
"""Thresholds of intersection over union."""
SIZES = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""Areas in pixels, whose ends both belong to them."""
_RECALLS = np.linspace(0, 1, 101)
_MOST = 100
"""Detections of a class that are looked at in an image."""
_NOTHING = np.full(len(OVERLAPS), np.nan)
Pair = tuple[Found, Objects]


class CocoFigures(NamedTuple):
    """Average precisions and recalls; NaN where there is nothing to be found.

    Attributes
    ----------
    coco, coco_50, coco_75:
        Average precision over overlaps of 0.5 to 0.95, and at 0.5 and 0.75 alone.
    coco_small, coco_medium, coco_large:
        The first, of objects of less than 32 x 32 pixels, up to 96 x 96, and larger.
    recall_1, recall_10, recall_100:
        Average recall over those overlaps with so many detections an image.
    recall_small, recall_medium, recall_large:
        The last of them, by size.
    """

    coco: float
    coco_50: float
    coco_75: float
    coco_small: float
    coco_medium: float
    coco_large: float
    recall_1: float
    recall_10: float
    recall_100: float
    recall_small: float
    recall_medium: float
    recall_large: float


class _Judged(NamedTuple):
    """An image's best detections at each overlap: which are right, and which do not count, (T, K) of bool both."""

    right: Array
    ignored: Array


def coco_figures(pairs: Sequence[Pair]) -> CocoFigures:
    """The figures of a class, from its detections, the best first, and its objects in each image."""
    shared = [_overlaps(own.boxes[:_MOST], wanted.boxes, wanted.crowd) for own, wanted in pairs]
    precisions, recalls = {}, {}
    for name, size in SIZES.items():
        objects = sum(int((~_ignored(wanted, size)).sum()) for _, wanted in pairs)
        if not objects:
            precisions[name], recalls[name] = _NOTHING, [np.nan] * 3
            continue
        judged = [_match(pair, each, size) for pair, each in zip(pairs, shared, strict=True)]
        precisions[name] = _precisions(pairs, judged, objects)
        recalls[name] = [_recall(judged, most, objects) for most in (1, 10, _MOST)]
    whole = precisions["all"]
    sized = ("small", "medium", "large")
    return CocoFigures(
        *(float(value) for value in (whole.mean(), whole[0], whole[5])),
        *(float(precisions[name].mean()) for name in sized),
        *recalls["all"],
        *(recalls[name][2] for name in sized),
    )


def _ignored(objects: Objects, size: tuple[float, float]) -> Array:
    """Which need not be found (G,), where those of a size are sought."""
    return np.asarray(objects.difficult | objects.crowd | (objects.areas < size[0]) | (objects.areas > size[1]))


def _precisions(pairs: Sequence[Pair], judged: Sequence[_Judged], objects: int) -> Array:
    """At each of `OVERLAPS`."""
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


def _recall(judged: Sequence[_Judged], most: int, objects: int) -> float:
    """The mean over `OVERLAPS` of what so many detections an image find."""
    found = sum((own.right & ~own.ignored)[:, :most].sum(axis=1) for own in judged)
    return float(np.mean(found / np.float64(objects)))


def _match(pair: Pair, shared: Array, size: tuple[float, float]) -> _Judged:
    """Judge an image's detections by their overlaps (K, G) with its objects, where those of a size are sought.

    The best detection first takes the free object that it overlaps with most, one that counts before one that does not;
    a crowd can be taken again and again. What finds nothing, and is of another size, does not count.
    """
    own, wanted = pair
    order = np.argsort(_ignored(wanted, size), kind="stable")
    ignored, crowd, shared = _ignored(wanted, size)[order], wanted.crowd[order], shared[:, order]
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
    outside = (own.areas[:_MOST] < size[0]) | (own.areas[:_MOST] > size[1])
    return _Judged(right, skipped | (~right & outside))


def _overlaps(found: Array, wanted: Array, crowd: Array) -> Array:
    """Intersection over union (K, G); over the detection's own area where the object is a crowd."""
    low = np.maximum(found[:, None, :2], wanted[None, :, :2])
    high = np.minimum(found[:, None, 2:], wanted[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    own = np.broadcast_to(areas(found)[:, None], shared.shape)
    union = np.where(crowd[None], own, own + areas(wanted)[None] - shared)
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0))
