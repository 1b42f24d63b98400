"""Weights of other frameworks that a net takes."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from segcaffe.convert import safetensors
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.weights.importing.load import assign, read
from tests.fuzz import structure
from tests.fuzz.kinds import Kind, single
from tests.fuzz.mutate import BINARY

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 6 dim: 6 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "n" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
layer { name: "f" type: "InnerProduct" bottom: "c" top: "f" inner_product_param { num_output: 5 } }
"""


def _tensors() -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.RandomState(0)
    shapes = {"c.weight": (4, 3, 3, 3), "c.bias": (4,), "head.weight": (5, 64), "head.bias": (5,)}
    shapes |= {f"bn.{role}": (4,) for role in ("weight", "bias", "running_mean", "running_var")}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def _state_dict() -> list[bytes]:
    """A state dict as PyTorch writes it, in today's format and the old one; none where PyTorch is not installed."""
    if find_spec("torch") is None:
        return []
    import torch

    state = {name: torch.from_numpy(array) for name, array in _tensors().items()}
    found = []
    for packed in (True, False):
        memory = io.BytesIO()
        torch.save({"epoch": 1, "state_dict": state}, memory, _use_new_zipfile_serialization=packed)
        found.append(memory.getvalue())
    return found


def _model() -> bytes:
    nodes = [
        helper.make_node("Conv", ["x", "c.weight", "c.bias"], ["1"]),
        helper.make_node("BatchNormalization", ["1", *(f"bn.{role}" for role in
                         ("weight", "bias", "running_mean", "running_var"))], ["2"]),
        helper.make_node("Flatten", ["2"], ["3"]),
        helper.make_node("Gemm", ["3", "head.weight", "head.bias"], ["y"], transB=1),
    ]  # fmt: skip
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    initializers = [numpy_helper.from_array(array, name) for name, array in _tensors().items()]
    model: onnx.ModelProto = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers))
    return bytes(model.SerializeToString())


def _import(file: Path) -> None:
    net = Net(parse(NET, caffe_pb2.NetParameter()), phase=caffe_pb2.TEST, fuse=False)
    assign(net.graph, net.layer_list, read(file, {}), {}, partial=True)


KINDS = {
    "import, safetensors": Kind(
        single("w.safetensors", lambda: [safetensors.encode(_tensors(), {})]),
        lambda folder: _import(folder / "w.safetensors"), (*BINARY, *(structure.change_safetensors,) * 12),
    ),
    "import, ONNX": Kind(
        single("w.onnx", lambda: [_model()]), lambda folder: _import(folder / "w.onnx"),
        (*BINARY, *(structure.change_message,) * 10),
    ),
}  # fmt: skip
if find_spec("torch") is not None:
    KINDS["import, PyTorch"] = Kind(
        single("w.pt", _state_dict), lambda folder: _import(folder / "w.pt"), (*BINARY, *(structure.change_zip,) * 4)
    )
