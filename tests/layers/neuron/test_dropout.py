from __future__ import annotations

import numpy as np
import pytest

from segcaffe import device
from segcaffe.testing import LayerCase

SHAPE = (8, 50, 20, 30)


def run(ratio: float, in_place: bool = False, seed: int = 4, dtype: type = np.float32):
    case = LayerCase("Dropout", f"dropout_param {{ dropout_ratio: {ratio} }}", (np.ones(SHAPE),), phase="TRAIN")
    layer, bottom, top = case.build(dtype)
    top = bottom if in_place else top
    device.set_random_seed(seed)
    layer.forward(bottom, top)
    return layer, bottom, top


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.8])
def test_drops_that_part_and_keeps_the_mean(ratio: float) -> None:
    _, _, top = run(ratio)
    values = np.unique(top[0].data)
    np.testing.assert_allclose(values, [0, 1 / (1 - ratio)], rtol=1e-6)
    assert abs((top[0].data == 0).mean() - ratio) < 0.005


def test_the_gradient_is_dropped_where_the_values_were() -> None:
    layer, bottom, top = run(0.4)
    top[0].diff[...] = 1
    layer.backward(top, [True], bottom)
    np.testing.assert_array_equal(bottom[0].diff, top[0].data)


def test_in_place_drops_the_same() -> None:
    _, _, apart = run(0.3)
    _, _, inside = run(0.3, in_place=True)
    np.testing.assert_array_equal(apart[0].data, inside[0].data)


def test_precision_does_not_change_what_is_dropped() -> None:
    _, _, single = run(0.3)
    _, _, double = run(0.3, dtype=np.float64)
    np.testing.assert_array_equal(single[0].data == 0, double[0].data == 0)


def test_neighbours_rows_and_passes_are_independent() -> None:
    layer, bottom, top = run(0.5)
    first = (top[0].data > 0).astype(float).ravel()
    layer.forward(bottom, top)
    second = (top[0].data > 0).astype(float).ravel()
    for shifted in (np.roll(first, 1), np.roll(first, 30), np.roll(first, 600), second):
        assert abs(np.corrcoef(first, shifted)[0, 1]) < 0.01


def test_the_seed_repeats_it() -> None:
    np.testing.assert_array_equal(run(0.5, seed=9)[2][0].data, run(0.5, seed=9)[2][0].data)
    assert (run(0.5, seed=9)[2][0].data != run(0.5, seed=10)[2][0].data).any()


@pytest.mark.parametrize(
    ("options", "phase", "expected"),
    [
        ("sample_weights_test: true", "TEST", [0, 1 / 0.6]),
        ("sample_weights_test: false", "TEST", [1]),
        ("scale_train: false", "TRAIN", [0, 1]),
        ("scale_train: false", "TEST", [0.6]),
    ],
)
def test_options_say_where_values_are_dropped_and_where_scaled(options: str, phase: str, expected: list[float]) -> None:
    text = f"dropout_param {{ dropout_ratio: 0.4 {options} }}"
    layer, bottom, top = LayerCase("Dropout", text, (np.ones(SHAPE),), phase=phase).build()
    layer.forward(bottom, top)
    np.testing.assert_allclose(np.unique(top[0].data), expected, rtol=1e-6)
    top[0].diff[...] = 1
    layer.backward(top, [True], bottom)
    np.testing.assert_array_equal(bottom[0].diff, top[0].data)
