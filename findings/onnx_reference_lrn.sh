#!/bin/sh
# LRN by onnx.reference, which one would ask what an operator of ONNX means. One would think that it normalises every
# channel. It normalises as many channels as the batch has items, and leaves the others as they are: its loop over the
# channels runs to the first extent of the shape (onnx 1.23). ONNX Runtime does what the definition says.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "onnxruntime==1.32.0" "onnx==1.23.0"
"$folder/venv/bin/python" - <<'P'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from onnx.reference import ReferenceEvaluator


def defined(x, size):
    """The definition, in float64: alpha, beta and bias are 1, 0.75 and 1."""
    channels = len(x)
    windows = [x[max(0, c - (size - 1) // 2) : min(channels, c + size // 2 + 1)] for c in range(channels)]
    return np.array([v / (1 + (w.astype(float) ** 2).sum() / size) ** 0.75 for v, w in zip(x, windows)])


def all_three(channels, size):
    shape = [len(channels), len(channels[0]), 1, 1]
    node = helper.make_node("LRN", ["x"], ["y"], size=size, alpha=1.0, beta=0.75, bias=1.0)
    graph = helper.make_graph(
        [node],
        "lrn",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    x = np.array(channels, np.float32).reshape(shape)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    reference = ReferenceEvaluator(model).run(None, {"x": x})[0]
    expected = np.array([defined(item.ravel(), size) for item in x])
    return expected, session.run(None, {"x": x})[0].reshape(expected.shape), reference.reshape(expected.shape)


def off(found, expected):
    return float(np.abs(found / expected - 1).max())


print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)
apart = []
for items in (1, 3, 5):
    channels = [[3, 1, 4, 1, 5]] * items
    expected, runtime, reference = all_three(channels, 3)
    apart.append((off(runtime, expected), off(reference, expected)))
    print(f"a batch of {items}, channels {channels[0]}: by the definition {expected[0].round(4).tolist()}")
    for name, found, by in zip(("onnxruntime", "onnx.reference"), (runtime, reference), apart[-1]):
        print(f"  {name} {found[0].round(4).tolist()}: off by up to {100 * by:.0f}%")
as_found = max(own for own, _ in apart) < 1e-4 and apart[0][1] > 1 and apart[1][1] > 1 and apart[2][1] < 1e-4
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
