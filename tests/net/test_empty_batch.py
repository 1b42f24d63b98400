"""Nets run on a batch of nothing: a filter may select no item, the last batch of a loop may be empty."""

from __future__ import annotations

from typing import Any

import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.layers import layer_class
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.testing import LayerCase
from tests.cases import all_cases

MASKED = """
force_backward: true
input: "image" input_shape { dim: 2 dim: 3 dim: 9 dim: 8 }
input: "embedding" input_shape { dim: 2 dim: 4 dim: 9 dim: 8 }
layer { name: "dist" type: "Im2dist" bottom: "embedding" top: "dist" convolution_param { kernel_size: 3 pad: 1 } }
layer { name: "scaled" type: "Scale" bottom: "dist" top: "scaled" scale_param { axis: 0 num_axes: 0 } }
layer { name: "mask" type: "Exp" bottom: "scaled" top: "mask" }
layer { name: "tiled" type: "Tile" bottom: "mask" top: "tiled" tile_param { axis: 1 tiles: 3 } }
layer { name: "columns" type: "Im2col" bottom: "image" top: "columns" convolution_param { kernel_size: 3 pad: 1 } }
layer { name: "product" type: "Eltwise" bottom: "columns" bottom: "tiled" top: "product"
  eltwise_param { operation: PROD } }
layer { name: "conv" type: "Convolution" bottom: "product" top: "conv"
  convolution_param { num_output: 5 kernel_size: 3 pad: 1 bottom_is_im2col: true } }
"""
PLAIN = """
force_backward: true
input: "data" input_shape { dim: 2 dim: 3 dim: 16 dim: 16 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 8 kernel_size: 3 } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 4 } }
"""
ABSORBED = """
input: "data" input_shape { dim: 2 dim: 3 dim: 6 dim: 5 }
input: "target" input_shape { dim: 2 dim: 4 dim: 6 dim: 5 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" batch_norm_param { use_global_stats: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "loss" type: "EuclideanLoss" bottom: "conv" bottom: "target" top: "loss" }
"""


def _empty(net: Net) -> None:
    """Run a net forward and backward with no items, then with its own batch again."""
    shapes = {name: net.blobs[name].shape for name in net.inputs}
    for rows in ({name: (0, *shape[1:]) for name, shape in shapes.items()}, shapes):
        for name, shape in rows.items():
            net.blobs[name].reshape(*shape)
        net.forward()
        net.backward()


@pytest.mark.parametrize("text", [MASKED, PLAIN], ids=["masked", "plain"])
@pytest.mark.parametrize("options", [{}, {"fuse": False}, {"share_memory": True}], ids=str)
@pytest.mark.parametrize("phase", [caffe_pb2.TRAIN, caffe_pb2.TEST])
def test_whole_nets(text: str, options: dict[str, Any], phase: int) -> None:
    net = Net(parse(text, caffe_pb2.NetParameter()), phase, **options)
    if text is MASKED:
        assert bool(net.graph.lazy) == options.get("fuse", True)
    _empty(net)


@pytest.mark.parametrize("options", [{}, {"share_memory": True}], ids=str)
def test_absorbed_layers_that_a_gradient_passes(options: dict[str, Any]) -> None:
    net = Net(parse(ABSORBED, caffe_pb2.NetParameter()), caffe_pb2.TRAIN, **options)
    assert net.graph.absorbed
    _empty(net)


def _net(case: LayerCase) -> Net:
    net = caffe_pb2.NetParameter(force_backward=True)
    for i, values in enumerate(case.inputs()):
        layer = net.layer.add(name=f"in{i}", type="Input", top=[f"bottom{i}"])
        layer.input_param.shape.add().dim.extend(values.shape)
    net.layer.add().CopyFrom(case.layer_param())
    return Net(net, caffe_pb2.Phase.Value(case.phase))


@pytest.mark.parametrize(
    "case",
    [case for case in all_cases() if case.bottoms and not layer_class(case.type).source],
    ids=lambda case: case.id,
)
def test_every_layer_runs_or_says_why_not(case: LayerCase) -> None:
    net = _net(case)
    for i, values in enumerate(case.inputs()):
        net.blobs[f"bottom{i}"].reshape(*((0, *values.shape[1:]) if values.ndim else ()))
    told = 'layer "layer"'
    try:
        net.forward()
        net.backward()
    except SegcaffeError as error:
        told = str(error)
    assert 'layer "layer"' in told
