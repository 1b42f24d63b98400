"""Normalised convolution's kernels against loops over pixels and taps."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from segcaffe.kernels import im2dist, norm_conv
from segcaffe.window import Window

FAR = float(np.finfo(np.float32).max) / 100
WINDOWS = {
    "same": Window((3, 3), (1, 1), (1, 1), (1, 1)),
    "same_dilated": Window((5, 3), (1, 1), (8, 2), (4, 2)),
    "strided": Window((3, 3), (2, 1), (0, 3), (1, 2)),
    "even": Window((4, 2), (1, 1), (3, 2), (2, 1)),
    "overpadded": Window((3, 3), (1, 1), (5, 4), (1, 1)),
    "everything_outside": Window((3, 3), (1, 1), (20, 20), (20, 20)),
    "pointwise": Window((1, 1), (1, 1), (0, 0), (1, 1)),
}
every_window = pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)


def neighbours(window: Window, shape: tuple[int, ...]):
    """Position, tap, centre and neighbour (None where outside) of every pair."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = window.kernel, window.stride, window.pad, window.dilation
    rows, columns = window.output_shape(shape)

    def place(y: int, x: int) -> tuple[int, int] | None:
        return (y, x) if 0 <= y < shape[0] and 0 <= x < shape[1] else None

    for y, x, i, j in product(range(rows), range(columns), range(kh), range(kw)):
        top, left = y * sh - ph, x * sw - pw
        centre = place(top + kh // 2 * dh, left + kw // 2 * dw)
        yield (y, x), i * kw + j, centre, place(top + i * dh, left + j * dw)


def distances(guide: np.ndarray, window: Window, l1: bool, remove_center: bool, remove_bounds: bool) -> np.ndarray:
    middle = window.kernel[0] // 2 * window.kernel[1] + window.kernel[1] // 2
    out = np.zeros((len(guide), window.taps, *window.output_shape(guide.shape[2:])))
    for (y, x), tap, centre, other in neighbours(window, guide.shape[2:]):
        if centre is None:
            continue
        if other is None:
            out[:, tap, y, x] = FAR if remove_bounds else 0
        elif tap == middle:
            out[:, tap, y, x] = FAR if remove_center else 0
        else:
            d = guide[:, :, centre[0], centre[1]] - guide[:, :, other[0], other[1]]
            out[:, tap, y, x] = np.abs(d).sum(1) if l1 else 0.5 * (d * d).sum(1)
    return out


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def columns(x: np.ndarray, window: Window) -> np.ndarray:
    """(N, C, T, Y, X)."""
    out = np.zeros((*x.shape[:2], window.taps, *window.output_shape(x.shape[2:])))
    for (y, x_), tap, _, other in neighbours(window, x.shape[2:]):
        if other is not None:
            out[:, :, tap, y, x_] = x[:, :, other[0], other[1]]
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("l1", [False, True], ids=["L2", "L1"])
@pytest.mark.parametrize(("center", "bounds"), [(False, False), (True, False), (False, True), (True, True)])
@every_window
def test_weights_are_a_softmax_of_distances(
    window: Window, center: bool, bounds: bool, l1: bool, dtype: type, rng: np.random.Generator
) -> None:
    guide = rng.standard_normal((2, 5, 7, 8)).astype(dtype)
    expected = softmax(-0.7 * distances(guide.astype(np.float64), window, l1, center, bounds))
    weights = np.full(expected.shape, np.nan, dtype)
    im2dist.forward(guide, weights, window, l1, center, bounds)
    norm_conv.softmax(weights, 0.7)
    np.testing.assert_allclose(weights, expected, rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-7)


def test_many_channels_and_rows(rng: np.random.Generator) -> None:
    window = Window((5, 5), (1, 1), (4, 4), (2, 2))
    guide = (0.3 * rng.standard_normal((1, 23, 19, 33))).astype(np.float32)
    weights = np.empty((1, 25, 19, 33), np.float32)
    im2dist.forward(guide, weights, window, False, True, True)
    norm_conv.softmax(weights, 1.0)
    expected = softmax(-distances(guide.astype(np.float64), window, False, True, True))
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scale", [1e4, -1e4, 0.0])
def test_extreme_scales_stay_finite(scale: float, rng: np.random.Generator) -> None:
    weights = np.empty((1, 9, 4, 5), np.float32)
    guide = rng.standard_normal((1, 3, 4, 5)).astype(np.float32)
    im2dist.forward(guide, weights, WINDOWS["same"], False, True, True)
    norm_conv.softmax(weights, scale)
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)


def test_a_nan_distance_is_not_hidden(rng: np.random.Generator) -> None:
    weights = rng.random((1, 9, 4, 5)).astype(np.float32)
    weights[0, 3, 2, 2] = np.nan
    norm_conv.softmax(weights, 1.0)
    assert np.isnan(weights[0, :, 2, 2]).all()
    assert np.isnan(weights).sum() == 9


def test_gradient_of_the_softmax(rng: np.random.Generator) -> None:
    distances, grad = rng.random((2, 6, 3, 4)), rng.standard_normal((2, 6, 3, 4))
    weights, found = distances.copy(), grad.copy()
    norm_conv.softmax(weights, 1.7)
    norm_conv.softmax_backward(weights, found, -1.7)
    direction = rng.standard_normal(distances.shape)
    ahead, behind = distances + 1e-6 * direction, distances - 1e-6 * direction
    slope = ((softmax(-1.7 * ahead) - softmax(-1.7 * behind)) * grad).sum() / 2e-6
    np.testing.assert_allclose((found * direction).sum(), slope, rtol=1e-6)


@pytest.mark.parametrize("groups", [1, 2, 10])
@every_window
def test_convolution_and_its_gradients(window: Window, groups: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 20, 7, 8))
    filters = rng.standard_normal((10, 20 // groups, *window.kernel))
    size = window.output_shape((7, 8))
    weights, out_grad = rng.random((2, window.taps, *size)), rng.standard_normal((2, 10, *size))
    grouped = columns(x, window).reshape(2, groups, 20 // groups, window.taps, *size)
    split = filters.reshape(groups, 10 // groups, 20 // groups, window.taps)
    tops = out_grad.reshape(2, groups, 10 // groups, *size)
    out = np.full_like(out_grad, np.nan)
    norm_conv.convolve(x, weights, filters, out, window)
    expected = np.einsum("gkct,ngctyx,ntyx->ngkyx", split, grouped, weights)
    np.testing.assert_allclose(out, expected.reshape(out.shape), rtol=1e-9, atol=1e-10)
    x_grad, filters_grad, weight_grad = np.full_like(x, np.nan), np.ones_like(filters), np.full_like(weights, np.nan)
    norm_conv.convolve_backward(x, weights, filters, out_grad, x_grad, filters_grad, window)
    norm_conv.convolve_backward_weights(x, filters, out_grad, weight_grad, window)
    np.testing.assert_allclose((x_grad * x).sum(), (out * out_grad).sum(), rtol=1e-9)
    expected = 1 + np.einsum("ngkyx,ngctyx,ntyx->gkct", tops, grouped, weights).reshape(filters.shape)
    np.testing.assert_allclose(filters_grad, expected, rtol=1e-9, atol=1e-9)
    expected = np.einsum("ngkyx,ngctyx,gkct->ntyx", tops, grouped, split)
    np.testing.assert_allclose(weight_grad, expected, rtol=1e-9, atol=1e-9)


def test_gradient_of_values_alone_equals_that_with_filters(rng: np.random.Generator) -> None:
    window = WINDOWS["even"]
    x, filters = rng.standard_normal((2, 9, 7, 8)), rng.standard_normal((4, 9, 4, 2))
    size = window.output_shape((7, 8))
    weights, out_grad = rng.random((2, 8, *size)), rng.standard_normal((2, 4, *size))
    both, alone, filters_grad = np.empty_like(x), np.empty_like(x), np.zeros_like(filters)
    norm_conv.convolve_backward(x, weights, filters, out_grad, both, filters_grad, window)
    norm_conv.convolve_backward(x, weights, filters, out_grad, alone, None, window)
    np.testing.assert_array_equal(both, alone)
    again = np.zeros_like(filters)
    norm_conv.convolve_backward(x, weights, filters, out_grad, None, again, window)
    np.testing.assert_array_equal(filters_grad, again)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)
