"""The innermost loops against NumPy, for vectors of every length that some processor has."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from segcaffe.kernels import tile
from segcaffe.kernels.scratch import scratch


@pytest.fixture(params=[64, 32, 16])
def vector_bytes(request, monkeypatch):
    monkeypatch.setattr(tile, "_VECTOR_BYTES", request.param)
    return request.param


@pytest.mark.parametrize("ahead", [None, 7])
@pytest.mark.parametrize("rows", [1, tile.ROWS])
def test_multiply(vector_bytes, rows, ahead):
    multiply = tile._make_multiply(rows)

    @njit
    def run(x, start, offsets, weight, bias, out, stride, ahead):
        multiply(x, start, offsets, weight, 0, offsets.size, bias, 1, out, 2, stride, ahead)

    rng = np.random.default_rng(0)
    x, offsets = rng.standard_normal(300).astype(np.float32), np.array([3, 90, 41, 0])
    weight, bias = rng.standard_normal((4, tile.ROWS)).astype(np.float32), np.arange(9, dtype=np.float32)
    length = tile.strip_length(np.float32)
    out = np.full(2 + rows * 60, np.nan, np.float32)
    run(x, 5, offsets, weight.ravel(), bias, out, 60, ahead)
    for r in range(rows):
        expected = bias[1 + r] + sum(weight[k, r] * x[5 + o : 5 + o + length] for k, o in enumerate(offsets))
        np.testing.assert_allclose(out[2 + r * 60 : 2 + r * 60 + length], expected, rtol=1e-5, atol=1e-5)
    assert np.isnan(out).sum() == out.size - rows * length


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 2, 4, 8])
def test_correlate(vector_bytes, rows, dtype):
    correlate = tile._make_correlate(rows)

    @njit
    def run(a, stride, x, offsets, count, out):
        correlate(a, stride, x, 4, offsets, 1, count, out, 3)

    rng = np.random.default_rng(0)
    a, x = rng.standard_normal((rows, 80)).astype(dtype), rng.standard_normal(200).astype(dtype)
    offsets = np.array([99, 7, 0, 60])
    out = np.ones(3 + 3 * tile.ROWS, dtype)
    run(a.ravel(), 80, x, offsets, 48, out)
    expected = np.ones_like(out)
    for j, offset in enumerate(offsets[1:]):
        lines = a[:, 4:52].astype(np.float64) @ x[4 + offset : 52 + offset]
        expected[3 + j * tile.ROWS : 3 + j * tile.ROWS + rows] += lines
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


def test_runs():
    @njit
    def run(target, source):
        tile.copy_run(target, 2, source, 3, 4)
        tile.clear_run(target, 7, 2)

    target, source = np.full(10, 9.0), np.arange(10.0)
    run(target, source)
    np.testing.assert_array_equal(target, [9, 9, 3, 4, 5, 6, 9, 0, 0, 9])


def test_scratch_is_kept_and_aligned():
    first = scratch("test", 100, np.float32)
    assert first.size == 100
    assert first.ctypes.data % 64 == 0
    first[:] = 3
    assert (scratch("test", 50, np.float32) == 3).all()
    larger = scratch("test", 1000, np.float64)
    assert larger.size == 1000
    assert not larger.any()
