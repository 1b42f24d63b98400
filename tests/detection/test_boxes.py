"""Codes of boxes, overlaps and suppression."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.detection import boxes
from segcaffe.detection.suppression import Suppression, best, suppress


def _random(rng: np.random.Generator, count: int) -> np.ndarray:
    corners = rng.uniform(0, 1, (count, 2, 2))
    return np.concatenate([corners.min(axis=1), corners.max(axis=1) + 0.01], axis=1)


@pytest.mark.parametrize("kind", ["CORNER", "CENTER_SIZE", "CORNER_SIZE"])
@pytest.mark.parametrize("in_target", [True, False])
def test_decoding_undoes_encoding(kind: str, in_target: bool) -> None:
    rng = np.random.default_rng(1)
    code = boxes.Code(kind, in_target)
    priors, wanted, variances = _random(rng, 50), _random(rng, 50), rng.uniform(0.1, 0.3, (50, 4))
    coded = boxes.encode(code, priors, variances, wanted)
    np.testing.assert_allclose(boxes.decode(code, priors, variances, coded), wanted, rtol=1e-9)
    assert np.abs(coded).max() > 0.5


def test_overlaps_by_counting_cells() -> None:
    """Boxes with corners on a grid: intersection and union are numbers of cells."""
    rng = np.random.default_rng(2)
    corners = np.sort(rng.integers(0, 9, (12, 2, 2)), axis=1).reshape(12, 4)
    cells = np.zeros((12, 9, 9), bool)
    for cell, (xmin, ymin, xmax, ymax) in zip(cells, corners, strict=True):
        cell[ymin:ymax, xmin:xmax] = True
    shared = (cells[:, None] & cells[None]).sum((2, 3))
    union = (cells[:, None] | cells[None]).sum((2, 3))
    expected = np.where(shared > 0, shared / np.maximum(union, 1), 0)
    np.testing.assert_allclose(boxes.overlaps(corners / 9, corners / 9), expected, rtol=1e-9)


def test_boxes_turned_inside_out_have_no_area() -> None:
    inside_out = np.array([[0.5, 0.5, 0.4, 0.9], [0.5, 0.5, 0.4, 0.4], [0.1, 0.1, 0.3, 0.4]])
    np.testing.assert_allclose(boxes.areas(inside_out), [0, 0, 0.06])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_suppression(dtype: type) -> None:
    found = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 6], [20, 0, 30, 10], [0, 0, 10, 10]], dtype)
    scores = np.array([0.9, 0.8, 0.95, 0.1, 0.9], dtype)
    assert suppress(found, scores, Suppression(0.55)).tolist() == [2, 3]
    assert suppress(found, scores, Suppression(0.5, score=0.1)).tolist() == [2]
    # Box 0 overlaps with 2 by 0.6, box 1 with both by less; the copy of box 0 comes after it and overlaps fully.
    assert suppress(found, scores, Suppression(0.9)).tolist() == [2, 0, 1, 3]
    assert suppress(found, scores, Suppression(0.9, top_k=2)).tolist() == [2, 0]
    assert suppress(found, scores, Suppression(0.9, eta=0.6)).tolist() == [2, 3]
    assert suppress(found, scores, Suppression(0.9, most=3)).tolist() == [2, 0, 1]
    assert suppress(found[:0], scores[:0], Suppression(0.9)).tolist() == []


@pytest.mark.parametrize("count", [-1, 0, 1, 7, 40, 100])
def test_the_best_in_the_order_of_all(count: int) -> None:
    rng = np.random.default_rng(count + 1)
    for values in (rng.integers(0, 9, 60), rng.standard_normal(60), np.where(rng.random(60) < 0.8, np.nan, 1.0)):
        order = np.argsort(-values.astype(np.float32), kind="stable")
        assert best(values.astype(np.float32), count).tolist() == order[: count if count > -1 else None].tolist()
