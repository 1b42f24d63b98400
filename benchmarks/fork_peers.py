"""One-layer nets of the forks' types, here and in other libraries, for `benchmarks/forks.py`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnx
import onnxruntime
import torch

from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse

Array = np.ndarray[Any, Any]
Run = Callable[[], Any]
Draw = Callable[[np.random.Generator], Array]
OPSET = 16


class Node(NamedTuple):
    """An ONNX node: reads x0, x1, ... (bottoms), p0, ... (parameters), constants; the last one makes y."""

    op: str
    inputs: str
    attributes: Mapping[str, Any] = {}
    outputs: str = "y"


@dataclass(frozen=True)
class Case:
    """A layer with its bottoms (shapes, drawn from a normal distribution, or what draws them), and its peers.

    ``caffe`` says that OpenCV's importer for Caffe files reads the same net, or is the text that it reads instead;
    ``darknet`` is a configuration for its importer of Darknet's. ``nodes`` with ``constants`` are the same for ONNX,
    which OpenCV reads (``onnx_in_opencv``) and ONNX Runtime; ``torch`` takes bottoms and parameters as tensors.
    ``agrees`` is False where a peer gives its results another form.
    """

    name: str
    type: str
    options: str
    bottoms: tuple[Sequence[int] | Draw, ...]
    caffe: bool | str = False
    darknet: str = ""
    nodes: tuple[Node, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    onnx_in_opencv: bool = True
    torch: Callable[..., Any] | None = None
    tops: int = 1
    phase: int = caffe_pb2.TEST
    agrees: bool = True

    def inputs(self) -> list[Array]:
        """The bottoms, the same ones each time."""
        rng = np.random.default_rng(0)
        drawn = (bottom(rng) if callable(bottom) else rng.standard_normal(tuple(bottom)) for bottom in self.bottoms)
        return [values.astype(np.float32) for values in drawn]

    def prototxt(self, inputs: Sequence[Array]) -> str:
        """The net of this layer."""
        tops = " ".join(f'top: "{name}"' for name in ("y", "z")[: self.tops])
        bottoms = " ".join(f'bottom: "x{i}"' for i in range(len(inputs)))
        return f'{_declared(inputs)} layer {{ name: "y" type: "{self.type}" {bottoms} {tops} {self.options} }}'


def _declared(inputs: Sequence[Array]) -> str:
    shapes = (" ".join(f"dim: {extent}" for extent in values.shape) for values in inputs)
    return " ".join(f'input: "x{i}" input_shape {{ {shape} }}' for i, shape in enumerate(shapes))


class Ours(NamedTuple):
    """Our net, its inputs in place."""

    net: Net
    inputs: list[Array]

    def run(self) -> Array:
        """One pass."""
        self.net.forward()
        return self.net.blobs["y"].data

    @property
    def params(self) -> list[Array]:
        """The layer's parameters."""
        return [blob.data for blob in self.net.params.get("y", ())]


def ours(case: Case) -> Ours:
    """Our net, with parameters drawn by chance, all above 0."""
    inputs = case.inputs()
    net = Net(parse(case.prototxt(inputs), caffe_pb2.NetParameter(), case.type), case.phase)
    rng = np.random.default_rng(1)
    for blob in net.params.get("y", ()):
        blob.data[...] = 1 if blob.shape == (1,) else rng.uniform(0.5, 1.5, blob.shape)
    for name, values in zip(net.inputs, inputs, strict=True):
        net.blobs[name].data[...] = values
    return Ours(net, inputs)


def peers(case: Case, mine: Ours) -> dict[str, Run]:
    """What runs the same elsewhere, by the library's name."""
    found: dict[str, Run] = {}
    if case.caffe:
        found["OpenCV"] = _opencv(cv2.dnn.readNetFromCaffe(*_caffe_files(case, mine)), mine.inputs)
    if case.darknet:
        found["OpenCV"] = _opencv(_darknet(case.darknet), mine.inputs)
    if case.nodes:
        model = _model(case, mine)
        if not found and case.onnx_in_opencv:
            found["OpenCV"] = _opencv(cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8)), mine.inputs)
        found["ONNX Runtime"] = _runtime(model, mine.inputs)
    if case.torch is not None:
        found["PyTorch"] = _torch(case.torch, [*mine.inputs, *mine.params])
    return found


def _caffe_files(case: Case, mine: Ours) -> list[Array]:
    weights = caffe_pb2.NetParameter()
    layer = weights.layer.add(name="y", type=case.type)
    for values in mine.params:
        layer.blobs.add(data=values.ravel(), shape={"dim": values.shape or (1,)})
    text = case.prototxt(mine.inputs) if case.caffe is True else f"{_declared(mine.inputs)} {case.caffe}"
    return [np.frombuffer(part, np.uint8) for part in (text.encode(), weights.SerializeToString())]


def _darknet(text: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        config, weights = Path(folder, "net.cfg"), Path(folder, "net.weights")
        config.write_text(text)
        weights.write_bytes(bytes(20))
        return cv2.dnn.readNetFromDarknet(str(config), str(weights))


def _opencv(net: Any, inputs: Sequence[Array]) -> Run:
    names = [f"x{i}" for i in range(len(inputs))] if len(inputs) > 1 else [""]
    for name, values in zip(names, inputs, strict=True):
        net.setInput(values, name)
    return net.forward


def _model(case: Case, mine: Ours) -> bytes:
    constants = {name: np.asarray(values) for name, values in case.constants.items()}
    constants |= {f"p{i}": values for i, values in enumerate(mine.params)}
    kind = onnx.TensorProto.FLOAT
    nodes = [
        onnx.helper.make_node(node.op, node.inputs.split(","), node.outputs.split(","), **node.attributes)
        for node in case.nodes
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [onnx.helper.make_tensor_value_info(f"x{i}", kind, values.shape) for i, values in enumerate(mine.inputs)],
        [onnx.helper.make_tensor_value_info("y", kind, mine.run().shape)],
        [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=8)
    return bytes(model.SerializeToString())


def _runtime(model: bytes, inputs: Sequence[Array]) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    names = {value.name for value in session.get_inputs()}
    fed = {f"x{i}": values for i, values in enumerate(inputs) if f"x{i}" in names}
    return lambda: session.run(["y"], fed)[0]


def _torch(function: Callable[..., Any], values: Sequence[Array]) -> Run:
    tensors = [torch.from_numpy(each.copy()) for each in values]

    def run() -> Array:
        with torch.no_grad():
            return np.asarray(function(*tensors))

    return run
