#!/bin/sh
# LRN, as AlexNet and GoogLeNet have it, by ONNX Runtime on the CPU. One would think that an operator of its own is as
# exact as the same sums by AveragePool over the channels, Sqrt and Div, and no slower. On values as a first convolution
# gives them its error is over a hundred times larger (4e-5 of the largest value against 1e-7), and it takes longer. It
# goes along the channels adding one square and taking another away, so that large values leave their error behind.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numpy==2.4.6" "onnx==1.23.2" "onnxruntime==1.32.0"
"$folder/venv/bin/python" - <<'P'
import sys
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SHAPE, SIZE, ALPHA, BETA = (1, 96, 55, 55), 5, 1e-4, 0.75
print("ONNX Runtime", onnxruntime.__version__)


def session(nodes, constants=()):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy"]
    tensors = [numpy_helper.from_array(values, name) for name, values in dict(constants).items()]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def milliseconds(session, x):
    times = []
    for _ in range(10):
        start = time.process_time()
        session.run(None, {"x": x})
        times.append(time.process_time() - start)
    return 1000 * min(times)


x = np.abs(np.random.default_rng(0).standard_normal(SHAPE)).astype(np.float32) * 3000
own = session([helper.make_node("LRN", ["x"], ["y"], size=SIZE, alpha=ALPHA, beta=BETA, bias=1.0)])
steps = [("Mul", "x x", "squares"), ("Reshape", "squares columns", "c"), ("Pad", "c pads", "padded"),
         ("AveragePool", "padded", "mean"), ("Reshape", "mean back", "b"), ("Mul", "b alpha", "m"),
         ("Add", "m one", "scale"), ("Sqrt", "scale", "root"), ("Sqrt", "root", "fourth"),
         ("Mul", "root fourth", "power"), ("Div", "x power", "y")]
nodes = [helper.make_node(op, inputs.split(), [output], **({"kernel_shape": [SIZE, 1]} if "Pool" in op else {}))
         for op, inputs, output in steps]
parts = session(nodes, {
    "columns": np.array([1, 1, 96, 55 * 55]), "pads": np.array([0, 0, 2, 0, 0, 0, 2, 0]), "back": np.array(SHAPE),
    "alpha": np.float32(ALPHA), "one": np.float32(1)})
squares = np.pad(x.astype(np.float64) ** 2, ((0, 0), (2, 2), (0, 0), (0, 0)))
right = x / (1 + ALPHA / SIZE * sum(squares[:, i : i + 96] for i in range(SIZE))) ** BETA
errors = [np.abs(s.run(None, {"x": x})[0] - right).max() / right.max() for s in (own, parts)]
times = [milliseconds(s, x) for s in (own, parts)]
print(f"LRN: error {errors[0]:.1e} of the largest value, {times[0]:.1f} ms of one thread")
print(f"of its parts: error {errors[1]:.1e}, {times[1]:.1f} ms")
as_found = errors[0] > 30 * errors[1] and times[0] > times[1]
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
