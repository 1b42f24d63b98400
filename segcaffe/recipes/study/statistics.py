"""Comparing two nets over seeds: the same images and the same beginning, so differences are paired."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """Mean and standard deviation (of a sample; 0 of a single value)."""

    mean: float
    deviation: float


class Comparison(NamedTuple):
    """What one net has more than another.

    Attributes
    ----------
    mean, deviation:
        Of the differences.
    interval:
        Half of the 95% confidence interval of their mean; NaN where there is a single seed.
    p:
        Of the paired t-test, two-sided; NaN where it is not defined.
    ahead, seeds:
        In how many seeds there is a gain, and of how many.
    """

    mean: float
    deviation: float
    interval: float
    p: float
    ahead: int
    seeds: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation."""
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)


def compare(values: Sequence[float], others: Sequence[float]) -> Comparison:
    """``values`` less ``others``, seed by seed."""
    from scipy.stats import t, ttest_rel

    differences = [value - other for value, other in zip(values, others, strict=True)]
    count, (mean, deviation) = len(differences), spread(differences)
    ahead = sum(difference > 0 for difference in differences)
    if count < 2:
        return Comparison(mean, deviation, math.nan, math.nan, ahead, count)
    with warnings.catch_warnings():
        # Equal differences, as of a net with itself, have no p.
        warnings.simplefilter("ignore", RuntimeWarning)
        p = float(ttest_rel(values, others).pvalue)
    interval = float(t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
    return Comparison(mean, deviation, interval, p, ahead, count)
