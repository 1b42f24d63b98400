"""A small net, exported, and ways to spoil the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from segcaffe.device.random import set_random_seed
from segcaffe.export.onnx import Options, export_net, write
from segcaffe.export.source import Source, build_source
from segcaffe.proto import caffe_pb2
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.text import parse, read_net

Array = np.ndarray[Any, Any]
NET = """
name: "small"
input: "data" input_shape { dim: 1 dim: 3 dim: 9 dim: 8 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "conv2" type: "Convolution" bottom: "conv1" top: "conv2"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" relu_param { negative_slope: 0.1 } }
layer { name: "scores" type: "Convolution" bottom: "conv2" top: "scores"
  convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "msra" } } }
"""


def source_of(text: str) -> Source:
    """The net of a text, its parameters drawn alike each time."""
    set_random_seed(1)
    return build_source(parse(text, caffe_pb2.NetParameter()))


def placed(path: Path, text: str = NET) -> PlacedNet:
    """The same as a file, with its layers' places."""
    path.write_text(text)
    set_random_seed(1)
    return read_net(path)


def written(source: Source, path: Path, spoil: Callable[[Any], None] = lambda model: None, **options: Any) -> Path:
    """The net's file, its model changed by ``spoil``."""
    model = export_net(source, Options(**options)).model
    spoil(model)
    write(model, path)
    return path


def change_weight(name: str, by: float) -> Callable[[Any], None]:
    """Add to one number of an initialiser."""

    def spoil(model: Any) -> None:
        (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
        values = onnx.numpy_helper.to_array(tensor).copy()
        values.flat[0] += by
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))

    return spoil


def change_node(name: str, op: str) -> Callable[[Any], None]:
    """Give a node another operator, without attributes."""

    def spoil(model: Any) -> None:
        (node,) = (node for node in model.graph.node if node.name == name)
        node.op_type = op
        del node.attribute[:]

    return spoil
