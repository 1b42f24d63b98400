"""Sums of scaled probabilities against sums over logarithms, where both do and where only the latter do."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.kernels.ctc import cpu


def _item(scale: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (T, C) and a path of five labels."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((14, 6)) * scale
    labels = rng.integers(1, 6, 5)
    path = np.zeros(11, np.int64)
    path[1::2] = labels
    return scores.astype(np.float32), path


@pytest.mark.parametrize("merges", [True, False])
@pytest.mark.parametrize(("scale", "does"), [(1, True), (30, True), (3000, False)])
def test_numbers_and_logarithms(scale: float, does: bool, merges: bool) -> None:
    sure = 0
    for seed in range(20):
        scores, path = _item(scale, seed)
        logs, chances = np.empty((2, *scores.shape))
        for t, row in enumerate(scores):
            cpu._softmax(row, logs[t], chances[t])
        losses, slopes = [], []
        for way, given in ((cpu._by_numbers, chances), (cpu._by_logarithms, logs)):
            slope = chances.copy()
            losses.append(way(given, path, 0, merges, np.empty((2, len(scores), path.size)), slope))
            slopes.append(slope)
        if np.isnan(losses[0]):
            np.testing.assert_array_equal(slopes[0], chances)
            continue
        sure += 1
        assert losses[0] == pytest.approx(losses[1], rel=1e-10)
        np.testing.assert_allclose(slopes[0], slopes[1], atol=1e-9)
    assert (sure == 20) if does else (sure < 10)


def test_scores_that_are_no_numbers_give_no_number() -> None:
    scores = np.zeros((4, 1, 3), np.float32)
    scores[2, 0, 1] = np.nan
    losses, grad = np.zeros(1), np.zeros_like(scores)
    cpu.forward(scores, np.array([[1]]), np.array([[4], [1]]), 0, True, losses, grad)
    assert np.isnan(losses[0])
