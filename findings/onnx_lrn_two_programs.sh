#!/bin/sh
# LRN of ONNX, two programs that should agree. ONNX Runtime adds up the squares of a window by adding the channel that
# comes and taking away the one that goes: in float32 what a large channel leaves behind is rounding of its size, and
# channels behind it, whose window no longer holds it, are normalised by that, or become infinite. onnx.reference, which
# one would ask who is right, normalises as many channels as the batch has items, and leaves the others as they are.
# Expected: each channel follows from those of its window, as the operator is defined.
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
    shape = [1, len(channels), 1, 1]
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
    return defined(x.ravel(), size), session.run(None, {"x": x})[0].ravel(), reference.ravel()


def off(found, expected):
    return float(np.abs(found / expected - 1).max())


print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)
apart = []
for channels, size in (([10000, 1, 1, 1, 1], 1), ([10000, 1.5, 1.5, 1.5, 1.5], 3), ([3, 1, 4, 1, 5], 3)):
    expected, runtime, reference = all_three(channels, size)
    apart.append((off(runtime, expected), off(reference, expected)))
    print(f"channels {channels}, windows of {size}: by the definition {expected.round(4).tolist()}")
    for name, found, by in zip(("onnxruntime", "onnx.reference"), (runtime, reference), apart[-1]):
        print(f"  {name} {found.round(4).tolist()}: off by up to {100 * by:.0f}%")
as_found = min(apart[0][0], apart[1][0]) > 0.1 and apart[2][0] < 1e-4 and apart[2][1] > 0.3
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
