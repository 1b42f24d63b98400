"""Random numbers in bulk are normal, repeatable, and do not depend on the threads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from segcaffe.kernels import normal
from segcaffe.threads import parallel

COUNT = 1_000_000


def _draw(seed: int) -> np.ndarray:
    out = np.empty(COUNT, np.float32)
    normal.fill(seed, 1.0, 0.0, out)
    return out.astype(np.float64)


def test_distribution() -> None:
    values = _draw(7)
    assert stats.kstest(values, "norm").pvalue > 1e-3
    assert abs(stats.kurtosis(values)) < 0.02
    assert 4.5 < np.abs(values).max() < 6.5
    assert (np.abs(values) > 4).mean() == pytest.approx(2 * stats.norm.sf(4), rel=0.4)


@pytest.mark.parametrize("shift", [1, 2, 161, 16384])
def test_neighbours_are_independent(shift: int) -> None:
    values = _draw(8)
    assert abs(np.corrcoef(values[:-shift], values[shift:])[0, 1]) < 5e-3


def test_seeds_give_different_numbers() -> None:
    assert abs(np.corrcoef(_draw(9), _draw(10))[0, 1]) < 5e-3
    assert abs(np.corrcoef(_draw(9), _draw(9 + (1 << 40)))[0, 1]) < 5e-3


def test_threads_do_not_matter() -> None:
    threads = parallel.num_threads()
    try:
        parallel.set_num_threads(1)
        one = _draw(11)
        parallel.set_num_threads(3)
        np.testing.assert_array_equal(one, _draw(11))
    finally:
        parallel.set_num_threads(threads)


def test_mean_and_deviation() -> None:
    out = np.empty(COUNT, np.float32)
    normal.fill(12, 0.5, 3.0, out)
    assert out.mean() == pytest.approx(3, abs=3e-3)
    assert out.std() == pytest.approx(0.5, rel=3e-3)
