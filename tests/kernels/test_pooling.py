"""Windows 2 apart, which have vector code of their own, against the code for any window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segcaffe.kernels import pooling
from segcaffe.kernels.pooling import cpu, windows
from segcaffe.threads import parallel
from segcaffe.window import Window

SIZES = [(1, 1), (2, 3), (5, 4), (9, 16), (6, 31), (4, 33), (3, 70), (12, 129)]


def _outputs(size: int, kernel: int, pad: int, ceil: bool) -> int:
    room = size + 2 * pad - kernel
    count = (-(-room // 2) if ceil else room // 2) + 1
    return count - 1 if pad and (count - 1) * 2 >= size + pad else count


def _problem(kernel: int, pad: int, ceil: bool, size: tuple[int, int], dtype: Any) -> tuple[Any, ...]:
    rng = np.random.default_rng(7)
    image = rng.integers(-4, 4, (2, 3, *size)).astype(dtype)
    shape = (2, 3, *(_outputs(n, kernel, pad, ceil) for n in size))
    return image, shape, Window((kernel, kernel), (2, 2), (pad, pad), (1, 1)), rng


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kernel", "pad", "ceil"), [(2, 0, True), (2, 1, True), (3, 0, False), (3, 0, True), (3, 2, True)]
)
def test_like_other_windows(kernel: int, pad: int, ceil: bool, size: tuple[int, int], dtype: Any) -> None:
    image, shape, window, rng = _problem(kernel, pad, ceil, size, dtype)
    if min(shape) < 1:
        pytest.skip("not one window fits")
    image.reshape(-1)[rng.integers(0, image.size, 1 + image.size // 3)] = np.nan
    image.reshape(-1)[rng.integers(0, image.size, 1 + image.size // 3)] = -np.inf
    tops, masks = np.full((2, *shape), 99, dtype), np.full((2, *shape), 99, np.int32)
    pooling.max_forward(image, tops[0], masks[0], window)
    cpu._run(windows.max_forward, (*cpu._sizes(window), 1, 1), image, tops[1], masks[1])
    np.testing.assert_array_equal(tops[0], tops[1])
    np.testing.assert_array_equal(masks[0], masks[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("kernel", "pad", "ceil"), [(2, 0, True), (2, 1, True), (3, 0, False), (3, 0, True), (3, 2, True)]
)
def test_means_and_their_gradient(kernel: int, pad: int, ceil: bool, size: tuple[int, int], dtype: Any) -> None:
    image, shape, window, rng = _problem(kernel, pad, ceil, size, dtype)
    if min(shape) < 1:
        pytest.skip("not one window fits")
    image += rng.standard_normal(image.shape).astype(dtype)
    tops, grads = np.full((2, *shape), 99, dtype), np.full((2, *image.shape), 99, dtype)
    tolerance = 10 * np.finfo(dtype).eps
    pooling.average_forward(image, tops[0], window)
    cpu._run(windows.average_forward, cpu._all_sizes(window, False), image, tops[1])
    np.testing.assert_allclose(tops[0], tops[1], rtol=0, atol=tolerance)
    pooling.average_backward(tops[0], grads[0], window)
    cpu._run(windows.average_backward, cpu._all_sizes(window, False), tops[0], grads[1])
    np.testing.assert_allclose(grads[0], grads[1], rtol=0, atol=tolerance)


def _any_outputs(size: int, kernel: int, stride: int, pad: int, dilation: int) -> int:
    return max(1, -(-(size + 2 * pad - dilation * (kernel - 1) - 1) // stride) + 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [(1, 1), (7, 7), (6, 14), (5, 33), (3, 70)])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "dilation"),
    [(2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 1), (2, 1, 0, 1), (5, 1, 2, 1), (3, 1, 2, 2), (3, 3, 1, 1), (3, 2, 2, 2)],
)
def test_values_without_places(
    kernel: int, stride: int, pad: int, dilation: int, size: tuple[int, int], dtype: Any
) -> None:
    rng = np.random.default_rng(8)
    image = rng.standard_normal((2, 3, *size)).astype(dtype)
    image.reshape(-1)[rng.integers(0, image.size, 1 + image.size // 3)] = np.nan
    image.reshape(-1)[rng.integers(0, image.size, 1 + image.size // 3)] = -np.inf
    window = Window((kernel, kernel), (stride, stride), (pad, pad), (dilation, dilation))
    shape = (2, 3, *(_any_outputs(n, kernel, stride, pad, dilation) for n in size))
    top, expected, mask = np.full(shape, 99, dtype), np.empty(shape, dtype), np.empty(shape, np.int32)
    pooling.max_values(image, top, window)
    pooling.max_forward(image, expected, mask, window)
    np.testing.assert_array_equal(top, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [(1, 1), (7, 7), (5, 31)])
def test_the_mean_of_a_whole_image(size: tuple[int, int], dtype: Any) -> None:
    image = np.random.default_rng(9).standard_normal((2, 3, *size)).astype(dtype)
    top = np.full((2, 3, 1, 1), 99, dtype)
    pooling.average_forward(image, top, Window(size, (1, 1), (0, 0), (1, 1)))
    np.testing.assert_allclose(top[..., 0, 0], image.mean(axis=(2, 3)), rtol=1e-5, atol=10 * np.finfo(dtype).eps)


def test_threads_change_nothing() -> None:
    before = parallel.num_threads()
    image = np.random.default_rng(3).standard_normal((4, 32, 41, 43)).astype(np.float32)
    window = Window((3, 3), (2, 2), (0, 0), (1, 1))
    results = []
    try:
        for threads in (1, 2, 3):
            parallel.set_num_threads(threads)
            top, mask = np.empty((4, 32, 20, 21), np.float32), np.empty((4, 32, 20, 21), np.int32)
            mean, grad = np.empty_like(top), np.empty_like(image)
            pooling.max_forward(image, top, mask, window)
            pooling.average_forward(image, mean, window)
            pooling.average_backward(top, grad, window)
            results.append((top, mask, mean, grad))
    finally:
        parallel.set_num_threads(before)
    for other in results[1:]:
        for found, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(found, expected)
