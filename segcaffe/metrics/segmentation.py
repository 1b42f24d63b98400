"""Figures of a confusion matrix: accuracies and intersections over unions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How well predictions agree with labels.

    Attributes
    ----------
    counts:
        (C, C + 1) pixels by [label, prediction]; the last column is what was predicted that is none of the C classes.
    """

    counts: Counts

    @cached_property
    def hits(self) -> Counts:
        """Pixels of each class that were predicted so."""
        return np.diagonal(self.counts)

    @cached_property
    def labelled(self) -> Counts:
        """Pixels labelled as each class."""
        return np.asarray(self.counts.sum(axis=1))

    @cached_property
    def union(self) -> Counts:
        """Pixels labelled or predicted as each class."""
        return np.asarray(self.labelled + self.counts.sum(axis=0)[:-1] - self.hits)

    @cached_property
    def iou(self) -> Figures:
        """Intersection over union of each class; NaN where it is neither labelled nor predicted."""
        return _ratio(self.hits, self.union)

    @cached_property
    def accuracy(self) -> Figures:
        """Part of each class's pixels that were predicted so; NaN where it is not labelled."""
        return _ratio(self.hits, self.labelled)

    @property
    def mean_iou(self) -> float:
        """Mean over the classes that are labelled or predicted."""
        return _mean(self.iou)

    @property
    def mean_accuracy(self) -> float:
        """Mean over the classes that are labelled."""
        return _mean(self.accuracy)

    @property
    def pixel_accuracy(self) -> float:
        """Part of all pixels that were predicted as labelled."""
        return float(_ratio(self.hits.sum(), self.labelled.sum()))

    @property
    def frequency_weighted_iou(self) -> float:
        """Mean of IoU, each class weighted by its labelled pixels."""
        return float(_ratio(np.nansum(self.iou * self.labelled), self.labelled.sum()))

    def summary(self) -> dict[str, float]:
        """The figures over all classes, by name."""
        return {
            "mean_iou": self.mean_iou,
            "pixel_accuracy": self.pixel_accuracy,
            "mean_accuracy": self.mean_accuracy,
            "frequency_weighted_iou": self.frequency_weighted_iou,
        }


def _ratio(part: Any, whole: Any) -> Figures:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    ratio: Figures = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return ratio


def _mean(values: Figures) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")
