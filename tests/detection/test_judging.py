"""Right and wrong detections, and averages of precision."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.detection.in_image import in_pixels
from segcaffe.detection.judging import AVERAGES, average_precision, judge
from segcaffe.proto.caffe_pb2 import ResizeParameter

TRUE = np.array([[0, 0, 0.4, 0.4], [0.5, 0.5, 1, 1]])


def test_each_true_box_is_found_once() -> None:
    found = np.array([[0, 0, 0.4, 0.4], [0, 0, 0.4, 0.38], [0.5, 0.5, 1, 0.95], [0, 0.6, 0.2, 0.9]])
    easy = np.zeros(2, bool)
    right, wrong = judge(found, TRUE, easy, 0.5)
    assert right.tolist() == [True, False, True, False]
    assert wrong.tolist() == [False, True, False, True]
    right, wrong = judge(found, TRUE, np.array([True, False]), 0.5)
    assert right.tolist() == [False, False, True, False]
    assert wrong.tolist() == [False, False, False, True]
    assert judge(found, TRUE[:0], easy[:0], 0.5)[1].all()


def test_averages_by_hand() -> None:
    """Right, wrong, right of 4: the precisions 1, 1/2, 2/3 at the recalls 1/4, 1/4, 1/2."""
    scores, right = np.array([0.7, 0.9, 0.8]), np.array([True, True, False])
    expected = {
        "Integral": 0.25 * 1 + 0.25 * 2 / 3,
        "MaxIntegral": 0.25 * 1 + 0.25 * 2 / 3,
        "11point": (3 * 1 + 3 * 2 / 3) / 11,
        "Area": 0.25 * 1 + 0.25 * 2 / 3,
        "101point": (26 * 1 + 25 * 2 / 3) / 101,
    }
    for version in AVERAGES:
        assert average_precision(scores, right, 4, version) == pytest.approx(expected[version]), version
        assert average_precision(scores[:0], right[:0], 4, version) == 0
        assert average_precision(scores, right, 0, version) == 0
        assert average_precision(scores, np.ones(3, bool), 3, version) == pytest.approx(1)


def test_the_hull_is_taken_from_the_beginning_of_a_step() -> None:
    """As SSD has it: from recall 0 to 1/2 the precision 1, and on to 1 that of the step's beginning, 1, not 2/3."""
    right = np.array([True, False, True])
    assert average_precision(np.array([3.0, 2, 1]), right, 2, "MaxIntegral") == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision(np.array([3.0, 2, 1, 0]), np.array([True, False, False, True]), 2, "Area") == 0.75


def test_pixels() -> None:
    box = np.array([[0.1, 0.25, 0.5, 1.2]])
    np.testing.assert_allclose(in_pixels(box, (100, 200)), [[20, 25, 100, 100]])
    pad = ResizeParameter(resize_mode=ResizeParameter.FIT_LARGE_SIZE_AND_PAD, height=300, width=300)
    # The image is twice as wide as high: its input has a quarter of padding above and below.
    np.testing.assert_allclose(in_pixels(box, (100, 200), pad), [[20, 0, 100, 100]])
    np.testing.assert_allclose(in_pixels(np.array([[0, 0.5, 1, 0.75]]), (100, 200), pad), [[0, 50, 200, 100]])
    fixed = ResizeParameter(resize_mode=ResizeParameter.FIT_SMALL_SIZE, height_scale=50, width_scale=60)
    np.testing.assert_allclose(in_pixels(box, (100, 200), fixed), [[6, 12.5, 30, 60]])
