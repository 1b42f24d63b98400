"""What runs in a fused net: wrapped layers are those that the prototxt names, and every class stands in a module."""

from __future__ import annotations

import sys

import pytest

from segcaffe.fusion.masked_convolution import MaskedConvolution
from segcaffe.fusion.running import Absorbed, Lazy
from segcaffe.layers.affine.scale import Scale
from segcaffe.layers.base import Layer
from segcaffe.layers.dense.convolution import Convolution
from segcaffe.layers.normalize.batch_norm import BatchNorm
from segcaffe.layers.shape.split import Split
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests.fusion.test_fuse import INPUTS, MASKS, ONE, distance, segaware

BEHIND = """layer { name: "norm" type: "BatchNorm" bottom: "y" top: "y" }
layer { name: "scale" type: "Scale" bottom: "y" top: "y" scale_param { bias_term: true } }
layer { name: "conv" type: "Convolution" bottom: "y" top: "z" convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "relu" type: "ReLU" bottom: "z" top: "z" }
"""
TEXT = INPUTS + distance() + MASKS["scale, abs, exp"] + segaware("y", "x", "mask", 6, ONE) + BEHIND
LAZY, ABSORBED = {"y_tile", "y_col", "y_hit"}, {"norm", "scale", "relu"}


def build(fuse: bool) -> Net:
    return Net(parse(TEXT, caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST, fuse=fuse)


@pytest.mark.parametrize("fuse", [True, False])
def test_no_class_is_made_at_run_time(fuse: bool) -> None:
    net = build(fuse)
    for layer in [*net.layer_list, *net.layers]:
        cls = type(layer)
        assert getattr(sys.modules[cls.__module__], cls.__qualname__) is cls


def test_each_way_of_running_has_a_class_of_its_own() -> None:
    net = build(True)
    found = {layer.name: type(layer) for layer in net.layer_list}
    assert {name for name, cls in found.items() if cls is Lazy} == LAZY
    assert {name for name, cls in found.items() if cls is Absorbed} == ABSORBED
    assert (found["y"], found["conv"]) == (MaskedConvolution, Convolution)


def test_layers_shows_what_is_wrapped() -> None:
    net = build(True)
    assert isinstance(net.layer_dict["norm"], BatchNorm)
    assert isinstance(net.layer_dict["scale"], Scale)
    assert [layer.type for layer in net.layers] == [layer.type for layer in build(False).layers]
    for layer, running in zip(net.layers, net.layer_list, strict=True):
        assert layer.blobs is running.blobs
    assert net.params["norm"] is net.layer_dict["norm"].blobs


def test_wrapped_layers_answer_as_they_would_by_themselves() -> None:
    ours, plain = build(True), build(False)
    assert ours.layer_names == plain.layer_names
    for i, (running, layer) in enumerate(zip(ours.layer_list, plain.layer_list, strict=True)):
        if isinstance(running, (Lazy, Absorbed)):
            assert _facts(running, ours, i) == _facts(layer, plain, i)
            assert {name: getattr(running, name) for name in _class_facts()} == {
                name: getattr(layer, name) for name in _class_facts()
            }


def _facts(layer: Layer, net: Net, i: int) -> list[object]:
    specs = [layer.param_spec(index) for index in range(len(layer.blobs))]
    wants = [layer.wants_param(index) for index in range(len(layer.blobs))]
    work = layer.multiply_adds(net.bottom_blobs[i], net.top_blobs[i])
    return [layer.where, layer.phase, layer.dtype, specs, wants, layer.takes_fewer(1), work, layer.allows_gradient(0)]


def _class_facts() -> list[str]:
    """What the engine asks of a running layer besides its methods; that lazy layers are not replayed is meant so."""
    return ["source", "loss", "reshape_always", "value_names", "gradient_to"]


def test_shared_tops_are_lazy_too() -> None:
    hit = 'layer { name: "hit2" type: "Eltwise" bottom: "y_col" bottom: "y_tile" top: "hit2" '
    hit += 'eltwise_param { operation: PROD } } layer { name: "b" type: "Convolution" bottom: "hit2" top: "b" '
    hit += f"convolution_param {{ num_output: 2 {ONE} bottom_is_im2col: true }} }}"
    text = INPUTS + distance() + MASKS["exp"] + segaware("y", "x", "mask", 6, ONE) + hit
    net = Net(parse(text, caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST)
    splits = [layer for layer in net.layer_list if layer.type == "Split" and isinstance(layer, Lazy)]
    assert len(splits) == 2
    assert all(isinstance(layer.public, Split) for layer in splits)
