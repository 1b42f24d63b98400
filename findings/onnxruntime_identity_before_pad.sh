#!/bin/sh
# ONNX Runtime refuses models that are valid: where a blob is an output under a second name (Identity) and, in the list of
# nodes behind it, is padded for a Conv or an AveragePool. The model passes onnx.checker, and the same nodes in another
# order, or without optimisations, run. With them one rewriting renames the blob that another one has still to read:
# "Invalid model. Node input 'a' is not a graph input, initializer, or output of a previous node."
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "onnxruntime==1.32.0" "onnx==1.23.0"
"$folder/venv/bin/python" - <<'P'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

LEVELS = onnxruntime.GraphOptimizationLevel
PADDED = [
    helper.make_node("Pad", ["a", "pads"], ["p"]),
    helper.make_node("AveragePool", ["p"], ["y"], kernel_shape=[2, 2]),
]
NAMED = [helper.make_node("Identity", ["a"], ["z"])]


def runs(nodes, level):
    values = [helper.make_tensor_value_info(name, 1, [1, 2, *size]) for name, size in SIZES.items()]
    pads = numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads")
    nodes = [helper.make_node("Relu", ["x"], ["a"]), *nodes]
    graph = helper.make_graph(nodes, "padded", values[:1], values[1:], [pads])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level, options.log_severity_level = level, 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        session.run(None, {"x": np.ones((1, 2, 5, 6), np.float32)})
        return "runs"
    except Exception as error:
        return str(error).split(" : ")[-1]


SIZES = {"x": (5, 6), "y": (6, 7), "z": (5, 6)}
print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)
found = {}
for order, nodes in (("the second name last", PADDED + NAMED), ("the second name first", NAMED + PADDED)):
    for level in (LEVELS.ORT_DISABLE_ALL, LEVELS.ORT_ENABLE_ALL):
        found[order, level] = runs(nodes, level)
        print(f"{order}, {level.name}: {found[order, level]}")
as_found = [text == "runs" for text in found.values()] == [True, True, True, False]
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
