"""What counts as equal."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segcaffe.export.proof.compare import compare

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("ours", "theirs", "largest"),
    [
        ([1, -4], [1, -4], 0),
        ([1, -4], [1, -5], 0.25),
        ([NAN, 2], [NAN, 2], 0),
        ([NAN, 2], [1, 2], INF),
        ([1, 2], [NAN, 2], INF),
        ([INF, 2], [INF, 3], 0.5),
        ([INF, 2], [-INF, 2], INF),
        ([INF, 2], [3e38, 2], INF),
        ([0, 0], [0, 0], 0),
        ([0, 0], [0, 1e-9], INF),
        ([1, 2], [[1, 2]], INF),
        ([], [], 0),
        ([NAN], [NAN], 0),
    ],
)
def test_the_largest_difference(ours: list[float], theirs: list[float], largest: float) -> None:
    found = compare(np.array(ours, np.float32), np.array(theirs, np.float32))
    assert found.largest == pytest.approx(largest)
    assert bool(found.note) == (largest == INF or not np.isfinite(ours).any())


def test_shapes_are_told() -> None:
    assert compare(np.zeros((2, 3)), np.zeros((3, 2))).note == "shape 3x2 instead of shape 2x3"


def test_one_number_may_have_other_axes() -> None:
    found = compare(np.array(2.0), np.array([3.0]))
    assert (found.largest, found.note) == (0.5, "shape 1 instead of a scalar")
