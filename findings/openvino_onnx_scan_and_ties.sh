#!/bin/sh
# OpenVINO 2026.4, a recurrent step in a Scan, and TopK of equal values, beside ONNX Runtime and NumPy, float32 on the
# CPU. A step state = tanh(slice + state @ R): right where the product is Add's first operand, wrong where it is the
# second. TopK of all values of an axis: of equal values any may come first, where ONNX says that the lower index does;
# of fewer than all values the rule is kept. Expected: that operands of a sum may be swapped, and the rule.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q openvino==2026.4.1 onnx==1.23.0 onnxruntime==1.32.0
"$folder/venv/bin/python" - <<'P'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import helper, numpy_helper

onnxruntime.set_default_logger_severity(4)
node = helper.make_node


def run(nodes, constants, inputs, outputs, opset=17):
    """What both make of a graph: (OpenVINO's outputs, ONNX Runtime's outputs)."""
    given = [helper.make_tensor_value_info(name, 1, values.shape) for name, values in inputs.items()]
    made = [helper.make_tensor_value_info(name, 1, None) for name in outputs]
    kept = [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "g", given, made, kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    text = model.SerializeToString()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(text), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(inputs)
    session = onnxruntime.InferenceSession(text, providers=["CPUExecutionProvider"])
    return [found[name] for name in outputs], session.run(outputs, inputs)


print("openvino", openvino.__version__, "onnxruntime", onnxruntime.__version__)
rng = np.random.default_rng(0)
STEPS, ITEMS, SIZE = 5, 2, 4
weights = rng.standard_normal((SIZE, SIZE)).astype(np.float32)
inputs = {"state": np.zeros((ITEMS, SIZE), np.float32), "parts": rng.standard_normal((STEPS, ITEMS, SIZE))}
inputs["parts"] = inputs["parts"].astype(np.float32)
state, states = inputs["state"], []
for part in inputs["parts"]:
    state = np.tanh(part + state @ weights)
    states.append(state)


def recurrent(operands):
    nodes = [
        node("MatMul", ["before", "R"], ["product"]),
        node("Add", operands, ["sum"]),
        node("Tanh", ["sum"], ["after"]),
        node("Identity", ["after"], ["made"]),
    ]
    infos = [[helper.make_tensor_value_info(name, 1, [ITEMS, SIZE]) for name in names]
             for names in (("before", "part"), ("after", "made"))]
    body = helper.make_graph(nodes, "step", *infos)
    scan = node("Scan", ["state", "parts"], ["last", "steps"], body=body, num_scan_inputs=1)
    return run([scan], {"R": weights}, inputs, ["last", "steps"])


off = {}
for operands in (["product", "part"], ["part", "product"]):
    found, wanted = recurrent(operands)
    off[operands[0]] = [float(np.abs(values[1] - np.array(states)).max()) for values in (found, wanted)]
    print(f"Add({', '.join(operands)}): off by {off[operands[0]][0]:.1e}, ONNX Runtime by {off[operands[0]][1]:.1e}")
x = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0], np.float32)
order = {}
for count in (5, 13):
    nodes = [node("TopK", ["x", "k"], ["values", "i"], axis=0), node("Cast", ["i"], ["places"], to=1)]
    (found,), (wanted,) = run(nodes, {"k": np.array([count])}, {"x": x}, ["places"])
    order[count] = found.astype(int).tolist(), wanted.astype(int).tolist()
    print(f"the {count} largest of {x.astype(int).tolist()}: places {order[count][0]}, ONNX Runtime {order[count][1]}")
stable = np.argsort(-x, kind="stable").tolist()
as_found = (
    off["product"][0] < 1e-5 and off["part"][0] > 0.1 and max(off["product"][1], off["part"][1]) < 1e-5
    and order[5] == (stable[:5], stable[:5]) and order[13][0] != stable == order[13][1]
)
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
