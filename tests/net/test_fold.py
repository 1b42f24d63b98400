"""Folding BatchNorm, Scale and ReLU into convolutions changes no result, and only nets that run forward alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse

INPUT = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 4 dim: 7 dim: 9 } } }'
CONV = """layer {{ name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 {} }} }}"""
NORM = 'layer { name: "norm" type: "BatchNorm" bottom: "y" top: "y" }'
SCALE = 'layer {{ name: "scale" type: "Scale" bottom: "y" top: "y" scale_param {{ bias_term: {} }} }}'
RELU = 'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }'
LEAKY = 'layer { name: "relu" type: "ReLU" bottom: "y" top: "y" relu_param { negative_slope: -0.3 } }'


def build(text: str, fuse: bool, phase: int = caffe_pb2.TEST) -> Net:
    """A net in float64, its parameters and inputs the same each time."""
    net = Net(parse(text, caffe_pb2.NetParameter(), "net"), phase, dtype=np.float64, fuse=fuse)
    rng = np.random.default_rng(1)
    net.blobs["x"].data[...] = rng.standard_normal(net.blobs["x"].shape)
    for layer in net.layers:
        for blob in layer.blobs:
            # Weights of both signs, else no sum would be negative; a BatchNorm's variance and its factor are positive.
            low = 0.5 if layer.type == "BatchNorm" else -1.5
            blob.data[...] = rng.uniform(low, 1.5, blob.shape)
    return net


def folded(net: Net) -> list[str]:
    """Names of the layers that others do the work of."""
    return [net.layer_names[j] for followers in net.graph.folded.values() for j in followers]


def assert_same(text: str, expected: list[str]) -> None:
    ours, plain = build(text, True), build(text, False)
    assert (folded(ours), folded(plain)) == (expected, [])
    assert np.allclose(ours.forward()["y"], plain.forward()["y"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", ["", "bias_term: false", "group: 2"])
@pytest.mark.parametrize(("rest", "expected"), [
    (NORM, ["norm"]),
    (NORM + SCALE.format("true"), ["norm", "scale"]),
    (NORM + SCALE.format("false") + RELU, ["norm", "scale", "relu"]),
    (NORM + RELU + SCALE.format("true"), ["norm", "relu"]),
    (RELU + NORM, ["relu"]),
    (RELU, ["relu"]),
    (LEAKY, ["relu"]),
    (SCALE.format("true") + LEAKY, ["scale", "relu"]),
    (SCALE.format("true") + NORM, ["scale"]),
])  # fmt: skip
@pytest.mark.parametrize("maker", ["Convolution", "Deconvolution", "InnerProduct"])
def test_same_results(maker: str, options: str, rest: str, expected: list[str]) -> None:
    conv = CONV.format(options).replace("Convolution", maker)
    if maker == "InnerProduct":
        bias = "false" if "false" in options else "true"
        conv = conv[: conv.index("convolution_param")] + f"inner_product_param {{ num_output: 6 bias_term: {bias} }} }}"
    else:
        conv = conv.replace("num_output: 6", "num_output: 6 stride: 2")
    assert_same(INPUT + conv + rest, expected)


def test_changed_parameters_count() -> None:
    ours, plain = (build(INPUT + CONV.format("") + NORM + SCALE.format("true"), fuse) for fuse in (True, False))
    for net in (ours, plain):
        net.forward()
        net.params["scale"][0].data[...] = -2
        net.params["norm"][2].data[...] = 0
    assert np.allclose(ours.forward()["y"], plain.forward()["y"])


def test_weights_are_saved_as_they_are() -> None:
    ours, plain = (build(INPUT + CONV.format("") + NORM + SCALE.format("true"), fuse) for fuse in (True, False))
    ours.forward()
    assert ours.to_proto() == plain.to_proto()


LEARNING: dict[str, tuple[str, Any]] = {
    "force_backward": ("force_backward: true ", caffe_pb2.TEST),
    "batch statistics": ("", caffe_pb2.TRAIN),
}


@pytest.mark.parametrize("name", LEARNING)
def test_nets_that_learn_are_left_alone(name: str) -> None:
    prefix, phase = LEARNING[name]
    assert folded(build(prefix + INPUT + CONV.format("") + NORM, True, phase)) == []


def test_a_loss_keeps_the_layers_apart() -> None:
    text = INPUT + CONV.format("") + NORM
    text += 'layer { name: "sum" type: "Reduction" bottom: "y" top: "sum" loss_weight: 1 }'
    assert folded(build(text, True)) == []


def test_layers_that_are_not_in_place_are_left_alone() -> None:
    text = INPUT + CONV.format("").replace('top: "y"', 'top: "z"') + NORM.replace('bottom: "y"', 'bottom: "z"')
    assert_same(text, [])
