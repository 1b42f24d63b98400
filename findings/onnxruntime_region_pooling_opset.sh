#!/bin/sh
# ONNX Runtime 1.32 and the pooling over regions of opset 22. Opset 22 gave MaxRoiPool and RoiAlign a new version, for
# bfloat16 alone; the runtime loads models of that opset and newer ones, but has implementations of these two operators
# up to opset 21 only, for float32 too: a Faster or Mask R-CNN that is exported at the newest opset passes
# onnx.checker and cannot be loaded. Expected: an operator whose new version adds a type runs as before.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q onnx==1.23.0 onnxruntime==1.32.0
"$folder/venv/bin/python" - <<'P'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

onnxruntime.set_default_logger_severity(4)
MAPS, REGIONS = [1, 2, 8, 8], [3, 5]


def model(op, opset):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, MAPS)]
    if op == "MaxRoiPool":
        inputs.append(helper.make_tensor_value_info("rois", TensorProto.FLOAT, [3, 5]))
        node = helper.make_node(op, ["x", "rois"], ["y"], pooled_shape=[2, 2])
    elif op == "RoiAlign":
        inputs.append(helper.make_tensor_value_info("rois", TensorProto.FLOAT, [3, 4]))
        inputs.append(helper.make_tensor_value_info("items", TensorProto.INT64, [3]))
        node = helper.make_node(op, ["x", "rois", "items"], ["y"], output_height=2, output_width=2)
    else:
        node = helper.make_node(op, ["x"], ["y"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)
    graph = helper.make_graph([node], "g", inputs, [output])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = helper.find_min_ir_version_for(list(made.opset_import))
    return made


def outcome(op, opset):
    made = model(op, opset)
    onnx.checker.check_model(made, full_check=False)
    try:
        session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented as error:
        return str(error).split("NOT_IMPLEMENTED : ")[-1]
    given = {"x": np.ones(MAPS, np.float32)}
    given["rois"] = np.zeros((3, 5 if op == "MaxRoiPool" else 4), np.float32)
    given["items"] = np.zeros(3, np.int64)
    session.run(None, {entry.name: given[entry.name] for entry in session.get_inputs()})
    return "runs"


print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
found = {(op, opset): outcome(op, opset) for op in ("MaxRoiPool", "RoiAlign", "GlobalMaxPool") for opset in (21, 22)}
for (op, opset), what in found.items():
    print(f"{op}, opset {opset}: {what}")
as_found = all(
    (what == "runs") == (opset == 21 or op == "GlobalMaxPool") for (op, opset), what in found.items()
)
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
