"""BN, against the loops of its definition, in both meanings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.errors import SegcaffeError
from segcaffe.layers import layer_class
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.testing import LayerCase
from tests.cases.normalize import CASES

Array = np.ndarray[Any, Any]
BN_CASES = [case for case in CASES if case.type == "BN"]
SEGNET = "scale_filler { value: 1 } shift_filler { value: 0.5 }"
PSPNET = "slope_filler { value: 1 } bias_filler { value: 0.5 }"


def reference(x: Array, blobs: list[Array], stored: bool, folded: bool, eps: float) -> tuple[Array, Array, Array]:
    """The top, and the means and variances of the batch, value by value."""
    x, y = x.astype(np.float64), np.empty(x.shape)
    means, variances = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for c in range(x.shape[1]):
        values = [float(value) for value in x[:, c].ravel()]
        means[c] = sum(values) / len(values)
        variances[c] = sum((value - means[c]) ** 2 for value in values) / len(values)
        mean, variance = (blobs[2].ravel()[c], blobs[3].ravel()[c]) if stored else (means[c], variances[c])
        slope, bias = blobs[0].ravel()[c], blobs[1].ravel()[c]
        for place in np.ndindex(x[:, c].shape):
            value = x[:, c][place]
            whitened = value if folded else (value - mean) / math.sqrt(variance + eps)
            y[:, c][place] = slope * whitened + bias
    return y, means, variances


@pytest.mark.parametrize("case", BN_CASES, ids=lambda case: case.id)
def test_values_are_the_definitions(case: LayerCase) -> None:
    options = case.layer_param().bn_param
    layer, bottom, top = case.build()
    four = len(layer.blobs) == 4
    stored = four and (case.phase == "TEST" or options.frozen)
    before = [blob.data.copy() for blob in layer.blobs]
    folded = options.bn_mode == caffe_pb2.BNParameter.INFERENCE
    layer.forward(bottom, top)
    y, means, variances = reference(bottom[0].data, before, stored, folded, options.eps if four else 1e-9)
    np.testing.assert_allclose(top[0].data, y, rtol=1e-5, atol=1e-5)
    for blob, values in zip(top[1:], (means, variances), strict=False):
        assert blob.shape == (1, 3, 1, 1)
        np.testing.assert_allclose(blob.data.ravel(), values, rtol=1e-6, atol=1e-6)
    if four and not stored:
        m = options.momentum
        for blob, old, new in ((layer.blobs[2], before[2], means), (layer.blobs[3], before[3], variances)):
            np.testing.assert_allclose(blob.data.ravel(), m * old.ravel() + (1 - m) * new, rtol=1e-5, atol=1e-6)
    else:
        assert all(np.array_equal(blob.data, old) for blob, old in zip(layer.blobs, before, strict=True))


def test_folded_statistics_give_what_the_batch_gave() -> None:
    x = np.random.default_rng(0).normal(3, 2, (4, 3, 5, 6)).astype(np.float32)
    learnt, bottom, top = LayerCase("BN", f"bn_param {{ {SEGNET} }}", (x,), 3).build()
    learnt.forward(bottom, top)
    slope = learnt.blobs[0].data / np.sqrt(top[2].data + 1e-9)
    folded, other, out = LayerCase("BN", "bn_param { bn_mode: INFERENCE }", (x,)).build()
    folded.blobs[0].data = slope
    folded.blobs[1].data = learnt.blobs[1].data - slope * top[1].data
    folded.forward(other, out)
    np.testing.assert_allclose(out[0].data, top[0].data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (f"bn_param {{ {SEGNET} }}", 2),
        ("bn_param { bn_mode: INFERENCE }", 2),
        ("param { lr_mult: 1 } param { lr_mult: 1 }", 2),
        ("blobs { } blobs { }", 2),
        (f"bn_param {{ {PSPNET} }}", 4),
        ("bn_param { frozen: false } param { lr_mult: 1 } param { lr_mult: 1 }", 4),
        ("blobs { } blobs { } blobs { } blobs { } param { } param { }", 4),
        ("", 4),
    ],
)
def test_options_or_the_number_of_blobs_tell_which_it_is(text: str, count: int) -> None:
    param = caffe_pb2.LayerParameter(type="BN")
    parse(text, param)
    assert layer_class("BN").parameter_count(param, 1) == count


def test_statistics_are_not_learnt_and_what_is_frozen_is_not_either(tmp_path) -> None:
    text = """
    layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 3 dim: 4 dim: 4 }} }} }}
    layer {{ name: "bn" type: "BN" bottom: "data" top: "bn" bn_param {{ {options} }} param {{ lr_mult: 2 }} }}
    """
    rates = {}
    for options in (SEGNET, PSPNET, f"{PSPNET} frozen: true"):
        path = tmp_path / "net.prototxt"
        path.write_text(text.format(options=options))
        layer = caffe.Net(str(path), caffe.TRAIN).layer_dict["bn"]
        rates[options] = [layer.param_spec(index).lr_mult for index in range(len(layer.blobs))]
    assert list(rates.values()) == [[2, 1], [2, 1, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("options", "bottom", "tops", "words"),
    [
        (f"{SEGNET} frozen: true", (2, 3, 4, 4), 1, "one layer takes either. Received: scale_filler"),
        (PSPNET, (2, 3, 4, 4), 2, "for bn_mode: LEARN. Received: 2 tops"),
        ("bn_mode: INFERENCE", (2, 3, 4, 4), 3, "for bn_mode: LEARN. Received: 3 tops"),
        ("momentum: 1.5", (2, 3, 4, 4), 1, "momentum must lie in 0..1"),
        ("eps: -1", (2, 3, 4, 4), 1, "eps must not be negative"),
        ("frozen: true", (2,), 1, "a batch axis and a channel axis"),
    ],
)
def test_what_it_does_not_take(options: str, bottom: tuple[int, ...], tops: int, words: str) -> None:
    with pytest.raises(SegcaffeError, match=words):
        LayerCase("BN", f"bn_param {{ {options} }}", (bottom,), tops).build()
