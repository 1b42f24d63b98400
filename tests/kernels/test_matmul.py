from __future__ import annotations

import numpy as np
import pytest

from segcaffe.kernels import matmul
from segcaffe.kernels.matmul.cpu import multiply
from segcaffe.threads import parallel

SHAPES = [(1, 1, 1), (3, 5, 4), (1, 900, 700), (900, 1, 700), (130, 700, 33), (700, 130, 33), (64, 3000, 27)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_gemm_equals_numpy(shape, trans_a, trans_b, dtype):
    m, n, k = shape
    rng = np.random.default_rng(0)
    a, b, out = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), (m, n)))
    expected = 0.5 * (a.astype(np.float64) @ b) - 2.0 * out
    a, b = (np.ascontiguousarray(x.T) if t else x for x, t in ((a, trans_a), (b, trans_b)))
    matmul.gemm(a, b, out, trans_a, trans_b, alpha=0.5, beta=-2.0)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(out, expected, rtol=0, atol=8 * eps * np.abs(expected).max() * np.sqrt(k))


def test_rows_may_lie_apart():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((40, 90)), rng.standard_normal((60, 70))
    out = np.zeros((40, 200))
    matmul.gemm(a[:, 10:70], b[:, 3:50], out[:, 100:147])
    np.testing.assert_allclose(out[:, 100:147], a[:, 10:70] @ b[:, 3:50], rtol=1e-12)
    assert not out[:, :100].any()
    assert not out[:, 147:].any()


def test_beta_zero_ignores_nan():
    out = np.full((2, 2), np.nan)
    matmul.gemm(np.eye(2), np.eye(2), out)
    np.testing.assert_array_equal(out, np.eye(2))


@pytest.mark.parametrize(("beta", "expected"), [(0.0, 0.0), (2.0, 6.0)])
def test_empty_sum(beta, expected):
    out = np.full((2, 3), 3.0)
    matmul.gemm(np.ones((2, 0)), np.ones((0, 3)), out, beta=beta)
    np.testing.assert_array_equal(out, np.full((2, 3), expected))


def test_result_does_not_depend_on_threads():
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((300, 200)), rng.standard_normal((200, 1000))
    one, two = np.empty((300, 1000)), np.empty((300, 1000))
    before = parallel.num_threads()
    try:
        parallel.set_num_threads(1)
        matmul.gemm(a, b, one)
        parallel.set_num_threads(3)
        matmul.gemm(a, b, two)
    finally:
        parallel.set_num_threads(before)
    np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"do not fit together. Received: \(2, 3\), \(4, 2\) and \(2, 2\)"):
        matmul.gemm(np.ones((2, 3)), np.ones((4, 2)), np.ones((2, 2)))
    with pytest.raises(ValueError, match="next to each other"):
        matmul.gemm(np.ones((3, 2)).T, np.ones((3, 2)), np.ones((2, 2)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 5), (70, 900), (0, 3)])
def test_finish(shape, dtype):
    rng = np.random.default_rng(4)
    out, bias, scale = (rng.standard_normal(s).astype(dtype) for s in (shape, shape[1], shape[1]))
    for given, slope in [((bias, None), 1.0), ((bias, scale), 0.0), ((None, scale), -0.5), ((None, None), 0.25)]:
        values = out * (1 if given[1] is None else given[1]) + (0 if given[0] is None else given[0])
        made = out.copy()
        matmul.finish(made, *given, negative_slope=slope)
        np.testing.assert_allclose(made, np.where(values > 0, values, slope * values), rtol=1e-6, atol=1e-6)


def test_finish_of_what_is_no_number():
    out = np.array([[-np.inf, np.nan, np.inf]])
    matmul.finish(out, negative_slope=0.0)
    np.testing.assert_array_equal(out, [[0, np.nan, np.inf]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize(
    ("rows", "columns", "depth"),
    [(64, 48, 64), (71, 49, 385), (67, 50, 388), (66, 49, 101), (64, 80, 70), (100, 441, 100), (65, 1000, 770)],
)
def test_few_columns(rows, columns, depth, trans_a, dtype):
    rng = np.random.default_rng(5)
    wide = rng.standard_normal((depth, rows + 9) if trans_a else (rows, depth + 9)).astype(dtype)
    a = wide[:, 4:-5]
    b = rng.standard_normal((depth, columns)).astype(dtype)
    expected = (a.T if trans_a else a).astype(np.float64) @ b
    found, before = [], parallel.num_threads()
    try:
        for threads in (1, 2, 3):
            parallel.set_num_threads(threads)
            out, parts = np.full((rows, columns), np.nan, dtype), []

            def keep(made: np.ndarray, first: int, parts: list = parts) -> None:
                parts.append((first, made.copy()))

            multiply(a, b, out, trans_a, then=lambda made, first, _, keep=keep: ((keep, (made, first)),))
            found.append(out)
            np.testing.assert_array_equal(np.concatenate([made for _, made in sorted(parts, key=lambda p: p[0])]), out)
    finally:
        parallel.set_num_threads(before)
    scale = np.abs(expected).max()
    assert np.abs(found[0] - expected).max() < (1e-6 if dtype == np.float32 else 1e-14) * scale
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize(("rows", "columns", "depth"), [(20, 64, 1024), (100, 10, 1300), (90, 64, 500), (33, 300, 200)])
def test_threads_change_no_digit(rows, columns, depth):
    rng = np.random.default_rng(6)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((rows, depth), (columns, depth)))
    before, found = parallel.num_threads(), []
    try:
        for threads in (1, 2, 3):
            parallel.set_num_threads(threads)
            out = np.empty((rows, columns), np.float32)
            matmul.gemm(a, b, out, trans_b=True)
            found.append(out)
    finally:
        parallel.set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("rows", "columns", "depth"),
    [(1, 1, 1), (1, 7, 40), (3, 6, 333), (16, 9, 70), (2, 400, 700), (5, 6, 7), (7, 5, 64)],
)
def test_few_rows_with_rows(rows, columns, depth, dtype):
    rng = np.random.default_rng(6)
    a, b = rng.standard_normal((rows, depth)).astype(dtype), rng.standard_normal((columns, depth)).astype(dtype)
    expected = a.astype(np.float64) @ b.T.astype(np.float64)
    found, before = [], parallel.num_threads()
    try:
        for threads in (1, 3):
            parallel.set_num_threads(threads)
            found.append(np.full((rows, columns), np.nan, dtype))
            matmul.gemm(a, b, found[-1], trans_b=True)
    finally:
        parallel.set_num_threads(before)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=4 * np.finfo(dtype).eps * depth)
    np.testing.assert_array_equal(found[1], found[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_items_of_several_do_not_change_each_other(dtype):
    rng = np.random.default_rng(7)
    a, b = rng.standard_normal((11, 150)).astype(dtype), rng.standard_normal((13, 150)).astype(dtype)
    together, apart = np.empty((11, 13), dtype), np.empty((11, 13), dtype)
    matmul.gemm(a, b, together, trans_b=True)
    for first, last in ((0, 3), (3, 5), (5, 11)):
        matmul.gemm(a[first:last], b, apart[first:last], trans_b=True)
    np.testing.assert_array_equal(apart, together)
