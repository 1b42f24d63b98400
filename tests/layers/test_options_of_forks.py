"""Options of other Caffes in layers that upstream has too, against slow references written from those layers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2, text
from segcaffe.proto.upgrade import upgrade_net
from segcaffe.testing import LayerCase

RNG = np.random.default_rng(5)


def build(type_name: str, options: str, *values: np.ndarray, phase: str = "TRAIN"):
    """A layer of float64, its bottoms filled, run forward."""
    case = LayerCase(type_name, options, tuple(value.shape for value in values), phase=phase)
    layer, bottom, top = case.build(np.float64, list(values))
    layer.forward(bottom, top)
    return layer, bottom, top


# ReLU.


@pytest.mark.parametrize(
    ("options", "low", "high", "slope"),
    [
        ("relu6: true", None, 6, 0),
        ("relu6: true negative_slope: 0.5", None, 6, 0.5),
        ("maximum: 3 minimum: -1 negative_slope: 0.5", -1, 3, 0.5),
        ("maximum: 0 minimum: 0.5", 0.5, None, 0),
        ("relu6: true maximum: 2", None, 2, 0),
    ],
)
def test_relu_with_limits(options: str, low: float | None, high: float | None, slope: float) -> None:
    x = RNG.uniform(-9, 9, (2, 3, 4, 5))
    layer, bottom, top = build("ReLU", f"relu_param {{ {options} }}", x)
    top[0].diff[...] = RNG.standard_normal(x.shape)
    layer.backward(top, [True], bottom)
    for index in np.ndindex(x.shape):
        y = x[index] if x[index] > 0 else slope * x[index]
        limited = min(y if low is None else max(y, low), np.inf if high is None else high)
        assert top[0].data[index] == pytest.approx(limited)
        factor = 0 if limited != y else 1 if x[index] > 0 else slope
        assert bottom[0].diff[index] == pytest.approx(factor * top[0].diff[index])


# BatchNorm.


def test_batch_norm_with_its_scale_inside() -> None:
    x, grad = RNG.standard_normal((2, 4, 3, 3, 5))
    options = "batch_norm_param { scale_bias: true eps: 1e-3 moving_average_fraction: 0.9 }"
    layer, bottom, top = build("BatchNorm", options, x)
    assert [blob.shape for blob in layer.blobs] == [(3,), (3,), (1,), (3,), (3,)]
    scale, shift = RNG.standard_normal((2, 3))
    layer.blobs[3].data, layer.blobs[4].data = scale, shift
    layer.forward(bottom, top)
    top[0].diff[...] = grad
    for blob in layer.blobs:
        blob.diff[...] = 0
    layer.backward(top, [True], bottom)
    for c in range(3):
        values, g = x[:, c], grad[:, c]
        normal = (values - values.mean()) / np.sqrt(values.var() + 1e-3)
        np.testing.assert_allclose(top[0].data[:, c], scale[c] * normal + shift[c], atol=1e-9)
        assert layer.blobs[3].diff[c] == pytest.approx((g * normal).sum())
        assert layer.blobs[4].diff[c] == pytest.approx(g.sum())
        through = g - g.mean() - normal * (g * normal).mean()
        expected = scale[c] * through / np.sqrt(values.var() + 1e-3)
        np.testing.assert_allclose(bottom[0].diff[:, c], expected, atol=1e-9)


def test_averages_of_a_batch_norm_with_its_scale_inside() -> None:
    batches = RNG.standard_normal((3, 4, 2, 3, 3)) * 2 + 1
    options = "batch_norm_param { scale_bias: true moving_average_fraction: 0.75 }"
    layer, bottom, top = build("BatchNorm", options, batches[0])
    for blob, value in zip(layer.blobs, (0, 0, 1), strict=False):
        blob.data[...] = value
    layer.forward(bottom, top)
    mean, variance = batches[0].mean((0, 2, 3)), batches[0].var((0, 2, 3), ddof=1)
    for batch in batches[1:]:
        bottom[0].data = batch
        layer.forward(bottom, top)
        mean = 0.75 * mean + 0.25 * batch.mean((0, 2, 3))
        variance = 0.75 * variance + 0.25 * batch.var((0, 2, 3), ddof=1)
    np.testing.assert_allclose(layer.blobs[0].data, mean)
    np.testing.assert_allclose(layer.blobs[1].data, variance)
    assert layer.blobs[2].data == 1


@pytest.mark.parametrize(
    ("options", "blobs"),
    [
        ("", 3),
        ("scale_bias: true", 5),
        ("scale_filler { value: 2 }", 5),
        ("filler { value: 2 } bias_filler { value: 3 }", 5),
        ("filler { value: 2 } bias_term: false", 4),
        ("use_weight_bias: false filler { value: 2 }", 3),
    ],
)
def test_blobs_of_batch_norms(options: str, blobs: int) -> None:
    source = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [2, 3, 4, 4] } } }'
    source += f' layer {{ name: "bn" type: "BatchNorm" bottom: "x" top: "y" batch_norm_param {{ {options} }} }}'
    layer = Net(text.parse(source, caffe_pb2.NetParameter()), phase=caffe_pb2.TRAIN).layers[1]
    assert len(layer.blobs) == blobs
    assert layer.blobs[2].data == (blobs == 5 and "filler { value: 2 } b" not in options)
    assert type(layer).parameter_count(layer.param, 1) == blobs
    assert [layer.param_spec(i).lr_mult for i in range(blobs)] == [0, 0, 0, 1, 1][:blobs]
    if "value: 2" in options and blobs > 3:
        np.testing.assert_array_equal(layer.blobs[3].data, 2)
    if "value: 3" in options:
        np.testing.assert_array_equal(layer.blobs[4].data, 3)


def test_eps_behind_the_root() -> None:
    x = RNG.standard_normal((2, 3, 4, 4))
    options = "batch_norm_param { add_eps_before_sqrt: false eps: 0.5 }"
    layer, bottom, top = LayerCase("BatchNorm", options, (x.shape,), phase="TEST").build(np.float64, [x])
    for blob, values in zip(layer.blobs, (np.zeros(3), np.array([1.0, 4.0, 9.0]), np.ones(1)), strict=True):
        blob.data = values
    layer.forward(bottom, top)
    np.testing.assert_allclose(top[0].data, x / np.array([1.5, 2.5, 3.5])[:, None, None])
    with pytest.raises(ShapeError, match="is for stored statistics"):
        build("BatchNorm", options, x)


FOLDED = """
layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: [2, 3, 6, 5] }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param {{ num_output: 4 kernel_size: 3 pad_t: 1 pad_l: 2 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "bn" type: "BatchNorm" bottom: "y" top: "y" batch_norm_param {{ scale_bias: true }} }}
layer {{ name: "relu" type: "ReLU" bottom: "y" top: "y" relu_param {{ {relu} }} }}
"""


@pytest.mark.parametrize("relu", ["", "relu6: true", "negative_slope: 0.25 maximum: 0.5"])
def test_folding_changes_nothing(relu: str) -> None:
    net = text.parse(FOLDED.format(relu=relu), caffe_pb2.NetParameter())
    whole, folded = (Net(net, phase=caffe_pb2.TEST, fuse=fuse) for fuse in (False, True))
    rng = np.random.default_rng(1)
    for name, blobs in whole.params.items():
        for i, blob in enumerate(blobs):
            blob.data = rng.uniform(0.5, 2, blob.shape)
            folded.params[name][i].data = blob.data
    x = 10 * rng.standard_normal((2, 3, 6, 5)).astype(np.float32)
    results = [net.forward(x=x)["y"].copy() for net in (whole, folded)]
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-4)


# Losses.


@pytest.mark.parametrize("sigma", [0.5, 1, 3])
@pytest.mark.parametrize("bottoms", [2, 3, 4])
def test_smooth_l1_with_sigma(sigma: float, bottoms: int) -> None:
    values = [RNG.standard_normal((2, 3, 4, 5)) for _ in range(bottoms)]
    a, b, inside, outside = [*values, *(np.ones((2, 3, 4, 5)) for _ in range(4 - bottoms))]
    layer, bottom, top = build("SmoothL1Loss", f"smooth_l1_loss_param {{ sigma: {sigma} }}", *values)
    top[0].diff[...] = 2
    layer.backward(top, [True, True, False, False][:bottoms], bottom)
    total = 0.0
    for i in np.ndindex(a.shape):
        d = inside[i] * (a[i] - b[i])
        near = abs(d) < 1 / sigma**2
        total += outside[i] * (sigma**2 * d * d / 2 if near else abs(d) - 0.5 / sigma**2)
        slope = outside[i] * inside[i] * (sigma**2 * d if near else np.sign(d)) / 2
        assert bottom[0].diff[i] == pytest.approx(2 * slope)
        assert bottom[1].diff[i] == pytest.approx(-2 * slope)
    # The divisor is the batch's size, 2.
    assert float(top[0].data) == pytest.approx(total / 2)


@pytest.mark.parametrize("normalize", ["", "normalize: true", "normalize: false"])
def test_class_weighting(normalize: str) -> None:
    scores, weights = RNG.standard_normal((2, 3, 4, 5)), [0.5, 2.0, 3.0]
    labels = RNG.integers(0, 3, (2, 1, 4, 5)).astype(float)
    labels[0, 0, :2] = 255
    given = " ".join(f"class_weighting: {weight}" for weight in weights)
    options = f"loss_param {{ ignore_label: 255 weight_by_label_freqs: true {given} {normalize} }}"
    layer, bottom, top = build("SoftmaxWithLoss", options, scores, labels)
    top[0].diff[...] = 1
    layer.backward(top, [True, False], bottom)
    count = int((labels != 255).sum()) if "false" not in normalize else 2
    total = 0.0
    for n, y, x in itertools.product(range(2), range(4), range(5)):
        shares = np.exp(scores[n, :, y, x]) / np.exp(scores[n, :, y, x]).sum()
        if labels[n, 0, y, x] == 255:
            np.testing.assert_array_equal(bottom[0].diff[n, :, y, x], 0)
            continue
        label = int(labels[n, 0, y, x])
        total -= weights[label] * np.log(shares[label])
        expected = weights[label] * (shares - (np.arange(3) == label)) / count
        np.testing.assert_allclose(bottom[0].diff[n, :, y, x], expected, atol=1e-12)
    assert float(top[0].data) == pytest.approx(total / count)


def test_class_weighting_has_a_weight_for_each_class() -> None:
    options = "loss_param { weight_by_label_freqs: true class_weighting: 1 class_weighting: 2 }"
    with pytest.raises(ShapeError, match=r"once for each of the 3 classes.*Received: 2 class_weighting"):
        build("SoftmaxWithLoss", options, RNG.standard_normal((2, 3, 4, 5)), np.zeros((2, 1, 4, 5)))


def test_a_fixed_normalizer() -> None:
    scores, labels = RNG.standard_normal((2, 3, 4, 5)), np.zeros((2, 1, 4, 5))
    losses = [
        float(build("SoftmaxWithLoss", f"loss_param {{ {options} }}", scores, labels)[2][0].data)
        for options in ("normalization: NONE", "normalization: PRE_FIXED pre_fixed_normalizer: 0.25")
    ]
    assert losses[1] == pytest.approx(4 * losses[0])


# Others.


def test_elu_with_a_factor() -> None:
    x = RNG.standard_normal((2, 3, 4))
    layer, bottom, top = build("ELU", "elu_param { alpha: 1.5 lambda: 2 }", x)
    top[0].diff[...] = grad = RNG.standard_normal(x.shape)
    layer.backward(top, [True], bottom)
    np.testing.assert_allclose(top[0].data, np.where(x > 0, 2 * x, 3 * (np.exp(x) - 1)))
    np.testing.assert_allclose(bottom[0].diff, grad * np.where(x > 0, 2, 3 * np.exp(x)))


def test_parameter_with_a_filler() -> None:
    source = 'layer { name: "p" type: "Parameter" top: "w" parameter_param { shape { dim: 3 } filler { value: 4 } } }'
    net = Net(text.parse(source, caffe_pb2.NetParameter()), phase=caffe_pb2.TEST)
    np.testing.assert_array_equal(net.forward()["w"], [4, 4, 4])


def test_inner_product_of_rows_of_length_1() -> None:
    x = RNG.standard_normal((5, 4))
    options = "inner_product_param { num_output: 3 normalize: true bias_term: false }"
    layer, _, top = LayerCase("InnerProduct", options, (x.shape,)).build(np.float64, [x])
    weight = layer.blobs[0].data.copy()
    layer.forward(_, top)
    expected = weight / np.sqrt((weight**2).sum(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(layer.blobs[0].data, expected)
    np.testing.assert_allclose(top[0].data, x @ expected.T)


def test_reshape_that_shuffles_pixels() -> None:
    source = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [2, 8, 3, 5] } } }'
    source += ' layer { name: "r" type: "Reshape" bottom: "x" top: "y" reshape_param { pixelshuffler: 2 } }'
    net = Net(text.parse(source, caffe_pb2.NetParameter()), phase=caffe_pb2.TEST)
    x = RNG.standard_normal((2, 8, 3, 5)).astype(np.float32)
    y = net.forward(x=x)["y"]
    assert y.shape == (2, 2, 6, 10)
    for n, c, h, w in np.ndindex(x.shape):
        assert y[n, c // 4, 2 * h + c // 2 % 2, 2 * w + c % 2] == x[n, c, h, w]


def test_memory_data_of_any_shape() -> None:
    source = 'layer { name: "d" type: "MemoryData" top: "x" top: "t" memory_data_param { dim: [2, 1, 3, 4, 5] } }'
    net = Net(text.parse(source, caffe_pb2.NetParameter()), phase=caffe_pb2.TEST)
    assert net.blobs["t"].shape == (2, 1, 1, 1, 1)
    data = RNG.standard_normal((4, 1, 3, 4, 5)).astype(np.float32)
    net.layers[0].set_input_arrays(data, np.arange(4))
    for start in (0, 2):
        net.forward()
        np.testing.assert_array_equal(net.blobs["x"].data, data[start : start + 2])
        np.testing.assert_array_equal(net.blobs["t"].data.ravel(), [start, start + 1])
    alone = Net(text.parse(source.replace('top: "t"', ""), caffe_pb2.NetParameter()), phase=caffe_pb2.TEST)
    assert list(alone.blobs) == ["x"]


def test_transformations_inside_of_data_param() -> None:
    source = 'layer { name: "d" type: "Data" top: "x" transform_param { mirror: true } data_param { source: "s" '
    source += "transform_param { crop_size: 7 mirror: false } } }"
    notes: list[str] = []
    net = upgrade_net(text.parse(source, caffe_pb2.NetParameter()), notes=notes)
    assert (net.layer[0].transform_param.crop_size, net.layer[0].transform_param.mirror) == (7, True)
    assert not net.layer[0].data_param.HasField("transform_param")
    assert notes == ['Layer "d": data_param.transform_param moved to the layer.']
