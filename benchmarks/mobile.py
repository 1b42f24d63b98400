"""Times layers of mobile nets beside OpenCV 4's and ONNX Runtime's: python -m benchmarks.mobile [--runs N].

Needs ``opencv-python-headless<5``, onnx and onnxruntime beside segcaffe. One thread each, in processor time, in turn: a
ratio below 1 means that ours is faster. Whole nets of one layer are timed, with what each library does around a layer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple

import cv2
import numpy as np
import onnx
import onnxruntime

from benchmarks.timing import Pair, interleave
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from segcaffe.threads import parallel

Run = Callable[[], object]
Shape = tuple[int, int, int, int]


class Case(NamedTuple):
    """A layer, its options, and the shapes of its bottoms."""

    type: str
    options: str
    bottoms: tuple[Shape, ...]

    @property
    def prototxt(self) -> str:
        """The net."""
        names = [f"x{i}" for i in range(len(self.bottoms))]
        inputs = [
            f'input: "{name}" input_shape {{ {" ".join(f"dim: {extent}" for extent in shape)} }}'
            for name, shape in zip(names, self.bottoms, strict=True)
        ]
        bottoms = " ".join(f'bottom: "{name}"' for name in names)
        return f'{" ".join(inputs)} layer {{ name: "y" type: "{self.type}" {bottoms} top: "y" {self.options} }}'


class Depthwise(NamedTuple):
    """A 3x3 depthwise convolution of square images."""

    channels: int
    size: int
    stride: int

    @property
    def case(self) -> Case:
        """As a layer."""
        options = f"num_output: {self.channels} kernel_size: 3 pad: 1 stride: {self.stride}"
        shape = (1, self.channels, self.size, self.size)
        return Case("ConvolutionDepthwise", f"convolution_param {{ {options} }}", (shape,))


FILLED = 'scale_filler { type: "constant" value: 20 }'
CASES = {
    "Normalize, pixels": Case(
        "Normalize", f"norm_param {{ across_spatial: false channel_shared: false {FILLED} }}", ((1, 512, 38, 38),)
    ),
    "Normalize, items": Case("Normalize", "", ((1, 512, 38, 38),)),
    "ReLU6": Case("ReLU6", "", ((1, 64, 161, 161),)),
    "ShuffleChannel": Case("ShuffleChannel", "shuffle_channel_param { group: 3 }", ((1, 240, 28, 28),)),
    "Reorg": Case("Reorg", "reorg_param { stride: 2 }", ((1, 64, 104, 104),)),
    "Axpy": Case("Axpy", "", ((1, 256, 1, 1), (1, 256, 56, 56), (1, 256, 56, 56))),
}
MOBILENET = [
    Depthwise(*sizes)
    for sizes in (
        (32, 112, 1),
        (64, 112, 2),
        (128, 56, 1),
        (128, 56, 2),
        (256, 28, 1),
        (256, 28, 2),
        (512, 14, 1),
        (512, 14, 2),
        (1024, 7, 1),
    )
]


def ours(case: Case, inputs: list[Any]) -> tuple[Run, Net]:
    """Our net, with its inputs in place, and parameters drawn by chance."""
    net = Net(parse(case.prototxt, caffe_pb2.NetParameter(), case.type), caffe_pb2.TEST)
    rng = np.random.default_rng(1)
    for blob in net.params.get("y", ()):
        blob.data[...] = rng.standard_normal(blob.data.shape)
    for name, values in zip(net.inputs, inputs, strict=True):
        net.blobs[name].data[...] = values
    return net.forward, net


def opencv(case: Case, inputs: list[Any], net: Net) -> Run:
    """The same by OpenCV."""
    weights = caffe_pb2.NetParameter()
    layer = weights.layer.add(name="y", type=case.type)
    for blob in net.params.get("y", ()):
        layer.blobs.add(data=blob.data.ravel(), shape={"dim": blob.data.shape or (1,)})
    files = [np.frombuffer(text, np.uint8) for text in (case.prototxt.encode(), weights.SerializeToString())]
    theirs = cv2.dnn.readNetFromCaffe(*files)
    for name, values in zip(net.inputs, inputs, strict=True):
        theirs.setInput(values, name)
    return lambda: theirs.forward("y")


def runtime(layer: Depthwise, inputs: list[Any], net: Net) -> Run:
    """The same by ONNX Runtime."""
    names = ["x0", "weight", "bias"]
    window = {"kernel_shape": [3, 3], "strides": [layer.stride] * 2, "pads": [1] * 4, "group": layer.channels}
    tensor = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", names, ["y"], **window)],
        "depthwise",
        [onnx.helper.make_tensor_value_info("x0", tensor, inputs[0].shape)],
        [onnx.helper.make_tensor_value_info("y", tensor, net.blobs["y"].data.shape)],
        [onnx.numpy_helper.from_array(b.data, name) for b, name in zip(net.params["y"], names[1:], strict=True)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return lambda: session.run(None, {"x0": inputs[0]})


def rows(runs: int) -> Iterator[tuple[str, Pair]]:
    """Every comparison."""
    clock = time.thread_time
    for name, case in CASES.items():
        inputs = _inputs(case)
        mine, net = ours(case, inputs)
        yield f"{name}, OpenCV", interleave(mine, opencv(case, inputs, net), runs, clock=clock)
    for layer in MOBILENET:
        inputs = _inputs(layer.case)
        mine, net = ours(layer.case, inputs)
        name = f"depthwise 3x3, {layer.channels} x {layer.size}², stride {layer.stride}"
        yield f"{name}, OpenCV", interleave(mine, opencv(layer.case, inputs, net), runs, clock=clock)
        yield f"{name}, ONNX Runtime", interleave(mine, runtime(layer, inputs, net), runs, clock=clock)


def _inputs(case: Case) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in case.bottoms]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=101)
    options = parser.parse_args()
    parallel.set_num_threads(1)
    cv2.setNumThreads(1)
    print("| layer, beside | ours, ms | theirs, ms | ratio |\n|---|---|---|---|")
    for name, pair in rows(options.runs):
        mine, theirs = (1e3 * median(values) for values in (pair.ours, pair.theirs))
        print(f"| {name} | {mine:.3f} | {theirs:.3f} | {pair.ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
