"""BatchNorm and MVN: statistics and running sums against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.layers import layer_class
from segcaffe.testing import LayerCase


def build(options="", x=None, phase="TRAIN", stored=(0, 0, 0)):
    case = LayerCase("BatchNorm", f"batch_norm_param {{ {options} }}", (x,), phase=phase)
    layer, bottom, top = case.build()
    for blob, value in zip(layer.blobs, stored, strict=True):
        blob.data[...] = value
    return layer, bottom, top


@pytest.mark.parametrize("shape", [(3, 2, 130, 260), (5, 4), (4, 2, 3)])
def test_batch_statistics_and_running_sums(shape):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32) * 2 + 1000
    layer, bottom, top = build("moving_average_fraction: 0.9 eps: 1e-3", x, stored=(7, 3, 2))
    layer.forward(bottom, top)
    axes = (0, *range(2, len(shape)))
    wide = x.astype(np.float64)
    mean, variance, count = wide.mean(axis=axes), wide.var(axis=axes), x.size // shape[1]
    kept = (wide - wide.mean(axis=axes, keepdims=True)) / np.sqrt(wide.var(axis=axes, keepdims=True) + 1e-3)
    np.testing.assert_allclose(top[0].data, kept, atol=1e-4)
    np.testing.assert_allclose(layer.blobs[0].data, 0.9 * 7 + mean, rtol=1e-6)
    np.testing.assert_allclose(layer.blobs[1].data, 0.9 * 3 + variance * count / (count - 1), rtol=1e-5)
    np.testing.assert_allclose(layer.blobs[2].data, 0.9 * 2 + 1, rtol=1e-6)


@pytest.mark.parametrize(("factor", "mean", "variance"), [(2, 1.5, 2), (0, 0, 0)])
def test_stored_statistics_are_divided_by_the_factor(factor, mean, variance):
    x = np.random.default_rng(2).standard_normal((2, 3, 4)).astype(np.float32)
    layer, bottom, top = build("eps: 0.1", x, "TEST", (3, 4, factor))
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data, (x - mean) / np.sqrt(variance + 0.1), rtol=1e-5, atol=1e-6)
    assert [float(blob.data[0]) for blob in layer.blobs] == [3, 4, factor]


@pytest.mark.parametrize(("phase", "moves"), [("TRAIN", True), ("TEST", False)])
def test_update_global_stats_moves_the_running_sums_in_train_only(phase, moves):
    x = np.random.default_rng(3).standard_normal((4, 2, 5)).astype(np.float32)
    layer, bottom, top = build("use_global_stats: true update_global_stats: true", x, phase, (1, 4, 2))
    layer.forward(bottom, top)
    # The batch's variance around the stored mean takes the place of the stored one.
    variance = ((x - 0.5) ** 2).mean(axis=(0, 2)) if moves else np.array([2, 2])
    scale = 1 / np.sqrt(variance + 1e-5)[:, None]
    np.testing.assert_allclose(top[0].data, (x - 0.5) * scale, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.blobs[0].data, 0.999 + 0.5 if moves else 1, rtol=1e-5)
    np.testing.assert_allclose(layer.blobs[1].data, 0.999 * 4 + variance * 20 / 19 if moves else 4, rtol=1e-5)
    assert float(layer.blobs[2].data[0]) == pytest.approx(2.998 if moves else 2)
    top[0].diff[...] = x
    layer.backward(top, [True], bottom)
    np.testing.assert_allclose(bottom[0].diff, x * scale, rtol=1e-5, atol=1e-6)


def test_backward_in_place_after_the_top_was_overwritten():
    x = np.random.default_rng(4).standard_normal((3, 2, 4)).astype(np.float32)
    layer, bottom, top = build("", x)
    layer.forward(bottom, top)
    top[0].diff[...] = x * x
    layer.backward(top, [True], bottom)
    _, blobs, _ = build("", x)
    again = layer_class("BatchNorm")(layer.param, layer.phase)
    again.setup(blobs, blobs)
    again.reshape(blobs, blobs)
    again.forward(blobs, blobs)
    blobs[0].data[...] = 0
    blobs[0].diff[...] = x * x
    again.backward(blobs, [True], blobs)
    np.testing.assert_allclose(blobs[0].diff, bottom[0].diff, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_mvn_divides_by_the_deviation_plus_eps(across, scaled):
    x = np.random.default_rng(5).standard_normal((2, 3, 4, 5)).astype(np.float32)
    options = f"across_channels: {str(across).lower()} normalize_variance: {str(scaled).lower()} eps: 0.5"
    layer, bottom, top = LayerCase("MVN", f"mvn_param {{ {options} }}", (x,)).build()
    layer.forward(bottom, top)
    axes = (1, 2, 3) if across else (2, 3)
    centred = x - x.mean(axis=axes, keepdims=True)
    expected = centred / (x.std(axis=axes, keepdims=True) + 0.5) if scaled else centred
    np.testing.assert_allclose(top[0].data, expected, atol=1e-6)


def test_constant_input_gives_zero():
    layer, bottom, top = LayerCase("MVN", "", (np.full((1, 2, 3, 4), 7.3),)).build()
    layer.forward(bottom, top)
    assert not top[0].data.any()


@pytest.mark.parametrize(
    ("layer_type", "options", "shape", "message"),
    [
        ("BatchNorm", "batch_norm_param { moving_average_fraction: 1.5 }", (2, 3), "must lie in 0..1"),
        ("BatchNorm", "batch_norm_param { eps: -1 }", (2, 3), "eps must not be negative"),
        ("BatchNorm", "", (), "batch axis"),
        ("MVN", "mvn_param { eps: -1 }", (2, 3), "eps must not be negative"),
        ("MVN", "", (), "batch axis"),
        ("Softmax", "softmax_param { axis: 2 }", (2, 3), "axis must lie in"),
        ("Softmax", "", (2, 0), "at least one class"),
    ],
)
def test_what_does_not_fit_is_refused(layer_type, options, shape, message):
    with pytest.raises(SegcaffeError, match=rf'layer "layer" \({layer_type}\).*{message}'):
        LayerCase(layer_type, options, (shape,)).build()


def test_the_number_of_channels_cannot_change():
    layer, bottom, top = build("", np.zeros((2, 3, 4)))
    bottom[0].reshape(2, 4, 4)
    with pytest.raises(SegcaffeError, match="number of channels cannot change from 3"):
        layer.reshape(bottom, top)
