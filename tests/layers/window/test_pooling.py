"""Pooling and SPP against loops over windows, and their errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.kernels.pooling import EMPTY
from segcaffe.testing import LayerCase

SIZE = (8, 11)
WINDOWS = [
    window
    for window in itertools.product([(2, 2), (3, 3), (1, 4)], [(1, 1), (2, 2), (3, 1)], [(0, 0), (1, 1), (0, 2)])
    if all(pad < kernel for kernel, pad in zip(window[0], window[2], strict=True))
]


def text(window, more: str) -> str:
    (kh, kw), (sh, sw), (ph, pw) = window
    fields = f"kernel_h: {kh} kernel_w: {kw} stride_h: {sh} stride_w: {sw} pad_h: {ph} pad_w: {pw} {more}"
    return f"pooling_param {{ {fields} }}"


def pixels(o, k, s, p, n):
    """Start and end of window o in the image, and its extent with padding."""
    start, end = o * s - p, min(o * s - p + k, n + p)
    return max(start, 0), min(end, n), end - start


def counts(window, size):
    """Windows along each axis."""
    result = []
    for n, k, s, p in zip(size, *window, strict=True):
        count = math.ceil((n + 2 * p - k) / s) + 1
        if any(window[2]) and (count - 1) * s >= n + p:
            count -= 1
        result.append(count)
    return tuple(result)


def windows(window, size):
    """Each output place with a pixel, its part of the image, and its size with padding."""
    for o in itertools.product(*map(range, counts(window, size))):
        axes = [pixels(*values) for values in zip(o, *window, size, strict=True)]
        if all(start < end for start, end, _ in axes):
            yield o, tuple(slice(start, end) for start, end, _ in axes), axes[0][2] * axes[1][2]


def run(case: LayerCase, image, top_diff=None):
    layer, bottom, top = case.build(np.float64, [image])
    layer.forward(bottom, top)
    if top_diff is not None:
        top[0].diff[...] = top_diff(top[0].shape)
        bottom[0].diff[...] = np.nan
        layer.backward(top, [True], bottom)
    return top, bottom[0].diff


def ramp(shape):
    return np.linspace(-1, 1, math.prod(shape)).reshape(shape)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_max_finds_the_first_largest(window) -> None:
    image = np.random.default_rng(0).integers(0, 4, (2, 3, *SIZE)).astype(float)
    top, gradient = run(LayerCase("Pooling", text(window, ""), (image.shape,), tops=2), image, ramp)
    assert top[0].shape == (2, 3, *counts(window, SIZE))
    expected = np.zeros(image.shape)
    for n, c in itertools.product(range(2), range(3)):
        for o, part, _ in windows(window, SIZE):
            values = image[n, c][part]
            y, x = np.unravel_index(values.argmax(), values.shape)
            y, x = y + part[0].start, x + part[1].start
            assert top[0].data[(n, c, *o)] == image[n, c, y, x]
            assert top[1].data[(n, c, *o)] == y * SIZE[1] + x
            expected[n, c, y, x] += top[0].diff[(n, c, *o)]
    np.testing.assert_allclose(gradient, expected, atol=1e-12)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_average_counts_padding_but_no_overhang(window) -> None:
    image = np.random.default_rng(0).standard_normal((2, 3, *SIZE))
    top, gradient = run(LayerCase("Pooling", text(window, "pool: AVE"), (image.shape,)), image, ramp)
    expected = np.zeros(image.shape)
    for o, part, size in windows(window, SIZE):
        here = (slice(None), slice(None), *o)
        np.testing.assert_allclose(top[0].data[here], image[(..., *part)].sum((2, 3)) / size)
        expected[(..., *part)] += top[0].diff[here][:, :, None, None] / size
    np.testing.assert_allclose(gradient, expected, atol=1e-12)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize("window", [w for w in WINDOWS if w[1] == (2, 2)], ids=str)
def test_rows_of_any_length_are_pooled_alike(window, pool: str) -> None:
    image = np.random.default_rng(0).standard_normal((1, 2, 7, 203))
    top = run(LayerCase("Pooling", text(window, f"pool: {pool}")), image)[0][0]
    part = run(LayerCase("Pooling", text(window, f"pool: {pool}")), image[..., :60])[0][0]
    np.testing.assert_allclose(top.data[..., :28], part.data[..., :28], rtol=1e-12)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
@pytest.mark.parametrize("window", [w for w in WINDOWS if w[2] == (0, 0)], ids=str)
def test_stochastic_picks_in_training_and_weighs_in_testing(window, phase: str) -> None:
    image = np.random.default_rng(0).uniform(0.5, 1.5, (2, 3, *SIZE))
    case = LayerCase("Pooling", text(window, "pool: STOCHASTIC"), (image.shape,), phase=phase)
    top, gradient = run(case, image, ramp)
    total = 0
    for o, part, _ in windows(window, SIZE):
        here, values = (slice(None), slice(None), *o), image[(..., *part)]
        if phase == "TEST":
            np.testing.assert_allclose(top[0].data[here], (values**2).sum((2, 3)) / values.sum((2, 3)))
        else:
            assert (values == top[0].data[here][:, :, None, None]).any((2, 3)).all()
        total += top[0].diff[here]
    if phase == "TRAIN":
        np.testing.assert_allclose(gradient.sum((2, 3)), total, atol=1e-12)


def test_stochastic_picks_in_proportion_to_the_values() -> None:
    image = np.tile([[0.0, 1.0], [3.0, 0.0]], (1, 1, 100, 100))
    case = LayerCase("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 }", phase="TRAIN")
    top, gradient = run(case, image, np.ones)
    threes = (top[0].data == 3).mean()
    assert 0.72 < threes < 0.78
    assert set(np.unique(top[0].data)) == {1, 3}
    assert set(np.unique(image[gradient > 0])) == {1, 3}


def test_round_mode_floor_drops_the_window_that_hangs_over() -> None:
    image = np.random.default_rng(0).standard_normal((1, 1, 5, 8))
    for mode, shape in (("CEIL", (1, 1, 3, 4)), ("FLOOR", (1, 1, 2, 4))):
        options = f"pooling_param {{ kernel_size: 2 stride: 2 round_mode: {mode} }}"
        assert run(LayerCase("Pooling", options), image)[0][0].shape == shape


@pytest.mark.parametrize(("pool", "value"), [("MAX", EMPTY), ("AVE", 0)])
def test_a_window_beyond_the_image_sends_no_gradient(pool: str, value: float) -> None:
    image = np.ones((1, 1, 5, 5))
    case = LayerCase("Pooling", f"pooling_param {{ pool: {pool} kernel_size: 1 stride: 3 }}")
    top, gradient = run(case, image, np.ones)
    assert top[0].shape == (1, 1, 3, 3)
    assert (top[0].data[0, 0, 2] == value).all()
    assert gradient.sum() == 4


def test_numbers_win_against_nan() -> None:
    image = np.full((1, 1, 4, 4), np.nan)
    image[0, 0, 1, 1] = -5
    image[0, 0, 0, 2] = -np.inf
    top, gradient = run(LayerCase("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", tops=2), image, np.ones)
    np.testing.assert_array_equal(top[0].data[0, 0, 0, 0], -5)
    assert np.isnan(top[0].data[0, 0, 1]).all()
    np.testing.assert_array_equal(top[1].data[0, 0], [[5, 2], [8, 10]])
    assert gradient.sum() == 4


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize(("height", "width", "levels"), [(7, 9, 3), (5, 5, 2), (12, 10, 3), (4, 6, 1)])
def test_spp_is_pooling_of_each_level(height: int, width: int, levels: int, pool: str) -> None:
    image = np.random.default_rng(0).standard_normal((2, 3, height, width))
    options = f"spp_param {{ pyramid_height: {levels} pool: {pool} }}"
    top, gradient = run(LayerCase("SPP", options), image, ramp)
    parts, expected, first = [], np.zeros(image.shape), 0
    diff = top[0].diff.reshape(2, -1)
    for level in range(levels):
        kernel = [math.ceil(n / 2**level) for n in (height, width)]
        pad = [(k * 2**level - n + 1) // 2 for k, n in zip(kernel, (height, width), strict=True)]
        case = LayerCase("Pooling", text((kernel, kernel, pad), f"pool: {pool}"))
        size = run(case, image)[0][0].count // 2
        level_diff = diff[:, first : first + size]
        pooled, level_gradient = run(case, image, level_diff.reshape)
        parts.append(pooled[0].data.reshape(2, -1))
        expected += level_gradient
        first += size
    np.testing.assert_array_equal(top[0].data.reshape(2, -1), np.concatenate(parts, 1))
    np.testing.assert_allclose(gradient, expected, atol=1e-12)
    assert top[0].shape == ((2, 3, 1, 1) if levels == 1 else (2, first))


@pytest.mark.parametrize(
    ("options", "bottoms", "tops", "message"),
    [
        ("", ((1, 2, 4, 4),), 1, "kernel_size must be given"),
        ("pooling_param { kernel_size: 0 }", ((1, 2, 4, 4),), 1, "kernel_size must be 1 or more"),
        ("pooling_param { kernel_size: 2 pad: 2 }", ((1, 2, 4, 4),), 1, "pad must be smaller"),
        ("pooling_param { kernel_size: 6 }", ((1, 2, 4, 4),), 1, "not one window fits"),
        ("pooling_param { kernel_size: 2 global_pooling: true }", ((1, 2, 4, 4),), 1, "takes no kernel_size"),
        ("pooling_param { kernel_size: 2 }", ((2, 4, 4),), 1, "4 axes"),
        ("pooling_param { kernel_size: 2 pool: AVE }", ((1, 2, 4, 4),), 2, "second top"),
        ("pooling_param { kernel_size: 2 pool: STOCHASTIC pad: 1 }", ((1, 2, 4, 4),), 1, "takes no padding"),
    ],
)
def test_options_of_pooling_that_break_a_rule(options: str, bottoms, tops: int, message: str) -> None:
    with pytest.raises(SegcaffeError, match=message) as error:
        LayerCase("Pooling", options, bottoms, tops=tops).build()
    assert 'layer "layer" (Pooling)' in str(error.value)
    assert "Received:" in str(error.value)


@pytest.mark.parametrize(
    ("options", "bottoms", "message"),
    [
        ("", ((1, 2, 4, 4),), "pyramid_height"),
        ("spp_param { pyramid_height: 2 }", ((2, 4, 4),), "4 axes"),
        ("spp_param { pyramid_height: 4 }", ((1, 2, 3, 4),), "too small to be divided into 4 x 4"),
    ],
)
def test_options_of_spp_that_break_a_rule(options: str, bottoms, message: str) -> None:
    with pytest.raises(SegcaffeError, match=message):
        LayerCase("SPP", options, bottoms).build()
