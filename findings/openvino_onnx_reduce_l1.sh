#!/bin/sh
# ReduceL1 of an ONNX model over one axis, in OpenVINO. One would think that it reduces that axis, as ReduceL2,
# ReduceMean and ReduceSumSquare of the same model do. In models of opset 13 to 17 OpenVINO 2026.4 reduces all axes by
# ReduceL1 and ReduceLogSum, without a warning: (2, 3, 4) over axis 2 gives shape (1, 1, 1), although the model says
# (2, 3, 1). In opsets 11 and 18 both are right. Abs or Log around ReduceSum is right in all.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numpy==2.4.6" "onnx==1.23.2" "openvino==2026.4.1"
"$folder/venv/bin/python" - <<'P'
import sys

import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

print("OpenVINO", openvino.__version__)
as_found = True
values = np.random.default_rng(0).uniform(1, 2, (2, 3, 4)).astype(np.float32)
for opset in (11, 13, 17, 18):
    shapes = {}
    for op in ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceMean"):
        axes = numpy_helper.from_array(np.array([2], np.int64), "axes")
        if opset >= 18:
            node = helper.make_node(op, ["x", "axes"], ["y"], keepdims=1)
        else:
            node = helper.make_node(op, ["x"], ["y"], axes=[2], keepdims=1)
        ends = [helper.make_tensor_value_info(*end) for end in
                (("x", TensorProto.FLOAT, (2, 3, 4)), ("y", TensorProto.FLOAT, (2, 3, 1)))]
        graph = helper.make_graph([node], "graph", ends[:1], ends[1:], [axes] if opset >= 18 else [])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        read = openvino.Core().read_model(model.SerializeToString())
        shapes[op] = openvino.Core().compile_model(read, "CPU")(values)[0].shape
    print(f"opset {opset}: {shapes}")
    for op, shape in shapes.items():
        wrong = op in ("ReduceL1", "ReduceLogSum") and 13 <= opset < 18
        as_found &= shape == ((1, 1, 1) if wrong else (2, 3, 1))
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
