"""Means, spreads and the paired test, against scipy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from segcaffe.recipes.study.statistics import compare, spread

AFTER = [61.2, 63.0, 58.7, 66.1, 60.0]
BEFORE = [60.0, 60.9, 59.1, 62.0, 59.9]


def test_the_test_is_scipys() -> None:
    found, expected = compare(AFTER, BEFORE), ttest_rel(AFTER, BEFORE)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-12)
    low, high = expected.confidence_interval(0.95)
    assert (found.mean - found.interval, found.mean + found.interval) == pytest.approx((low, high))


def test_differences_are_paired() -> None:
    found = compare(AFTER, BEFORE)
    differences = np.subtract(AFTER, BEFORE)
    assert (found.mean, found.deviation) == pytest.approx((differences.mean(), differences.std(ddof=1)))
    assert (found.ahead, found.seeds) == (4, 5)
    unpaired = math.hypot(spread(AFTER).deviation, spread(BEFORE).deviation)
    assert found.deviation < unpaired


def test_one_seed_has_no_test() -> None:
    found = compare([2.0], [1.0])
    assert found[:2] == (1, 0)
    assert math.isnan(found.p)
    assert math.isnan(found.interval)


def test_equal_nets_have_no_p() -> None:
    assert math.isnan(compare(AFTER, AFTER).p)
