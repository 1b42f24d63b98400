"""How good a detector is: average precision as PASCAL VOC and as COCO have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from segcaffe.detection.judging import average_precision, judge
from segcaffe.detection.scenes import Found, Objects
from segcaffe.metrics.coco import CocoFigures, coco_figures

Array = np.ndarray[Any, Any]
VOC_OVERLAP = 0.5


class Precision(NamedTuple):
    """How well one class is found; NaN where there is nothing to be found.

    Attributes
    ----------
    objects, found:
        How many there are to be found, and how many boxes were found.
    voc_11_point, voc_area:
        PASCAL VOC's, at an overlap of 0.5: the mean over 11 recalls (until 2009), and the area under the curve.
    coco:
        COCO's figures.
    """

    objects: int
    found: int
    voc_11_point: float
    voc_area: float
    coco: CocoFigures

    def figures(self) -> dict[str, float]:
        """All average precisions and recalls by their names."""
        return {"voc_11_point": self.voc_11_point, "voc_area": self.voc_area, **self.coco._asdict()}


def precision_of(label: int, found: Sequence[Found], truth: Sequence[Objects]) -> Precision:
    """The average precisions of a class, from its detections and its objects in the same images."""
    pairs = [(boxes.of(label), objects.of(label)) for boxes, objects in zip(found, truth, strict=True)]
    pairs = [pair for pair in pairs if len(pair[0].labels) or len(pair[1].labels)]
    objects = sum(int((~_ignored(wanted)).sum()) for _, wanted in pairs)
    detections = sum(len(own.labels) for own, _ in pairs)
    return Precision(objects, detections, *_voc(pairs, objects), coco_figures(pairs))


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
