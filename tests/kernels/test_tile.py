"""The innermost loops against NumPy, for vectors of every length that some processor has."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from segcaffe.kernels.vector import tile
from segcaffe.kernels.vector.scratch import scratch


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_strided_runs(vector_bytes, dtype):
    @njit
    def run(target, source, stride, count):
        tile.pick_run(target, 2, source, 3, stride, count)

    @njit
    def spread(target, source, stride, count):
        tile.spread_run(target, 1, stride, source, 2, count)

    for stride, count in [(1, 5), (2, 0), (2, 1), (2, 16), (2, 17), (2, 40), (3, 20)]:
        source = np.random.default_rng(0).standard_normal(3 + max(0, stride * (count - 1) + 1)).astype(dtype)
        target = np.zeros(2 + count + 3, dtype)
        run(target, source, stride, count)
        np.testing.assert_array_equal(target, [0, 0, *source[3 : 3 + stride * count : stride], 0, 0, 0])
        source, target = np.arange(count + 2, dtype=dtype), np.zeros(1 + stride * count, dtype)
        spread(target, source, stride, count)
        expected = np.zeros_like(target)
        expected[1::stride] = source[2:]
        np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_and_strips(vector_bytes, dtype):
    @njit
    def run(packed, weight, strip, source):
        tile.pack_block(packed, 3, weight, 2, 70)
        tile.copy_strip(strip, 1, source, 4)

    @njit
    def add(target, sums, step):
        tile.add_block(target, 5, 70, sums, 3, step, 2)

    weight, length = np.random.default_rng(0).standard_normal(70 * tile.ROWS).astype(dtype), tile.vector_length(dtype)
    packed, strip = np.zeros(4 + tile.ROWS * length, dtype), np.zeros(2 + tile.strip_length(dtype), dtype)
    run(packed, weight, strip, weight)
    expected = weight.reshape(tile.ROWS, 70)[:, 2 : 2 + length].T
    np.testing.assert_array_equal(packed, [0, 0, 0, *expected.ravel(), 0])
    added = weight.copy()
    parts = np.concatenate([packed[:-1], packed[3:-1]])
    add(added, parts, tile.ROWS * length)
    expected = weight.reshape(tile.ROWS, 70).copy()
    expected[:, 5 : 5 + length] += 2 * expected[:, 2 : 2 + length]
    np.testing.assert_allclose(added, expected.ravel(), rtol=1e-6)
    np.testing.assert_array_equal(strip, [0, *weight[4 : 4 + tile.strip_length(dtype)], 0])


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, -1.0])
@pytest.mark.parametrize("rows", [1, tile.ROWS])
def test_convolve(vector_bytes, rows, slope):
    convolve = tile._make_convolve(rows)

    @njit
    def run(x, offsets, weight, ends, slope, out, fetch):
        convolve(x, 5, offsets, weight, 0, offsets.size, (ends, slope), 2, out, 2, 60, fetch)

    rng = np.random.default_rng(0)
    x, offsets = rng.standard_normal(300).astype(np.float32), np.array([3, 90, 41, 0])
    weight, ends = (rng.standard_normal(s).astype(np.float32) for s in ((4, tile.ROWS), 2 + 2 * tile.ROWS))
    length = tile.strip_length(np.float32)
    for fetch in (None, (x, 0, 20, 2, 1 << 16)):
        out = np.full(2 + rows * 60, np.nan, np.float32)
        run(x, offsets, weight.ravel(), ends, np.float32(slope), out, fetch)
        for r in range(rows):
            sums = sum(weight[k, r] * x[5 + o : 5 + o + length] for k, o in enumerate(offsets))
            values = ends[2 + 2 * r] * sums + ends[3 + 2 * r]
            expected = np.where(values > 0, values, slope * values)
            np.testing.assert_allclose(out[2 + r * 60 : 2 + r * 60 + length], expected, rtol=1e-5, atol=1e-5)
        assert np.isnan(out).sum() == out.size - rows * length


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 15, 16, 17, 31, 45, 64])
def test_added_runs(vector_bytes, dtype, count):
    @njit
    def run(target, source, count):
        tile.add_run(target, 2, source, 3, count)

    target, source = (np.random.default_rng(seed).standard_normal(80).astype(dtype) for seed in (1, 2))
    expected = target.copy()
    expected[2 : 2 + count] += source[3 : 3 + count]
    run(target, source, count)
    np.testing.assert_array_equal(target, expected)
