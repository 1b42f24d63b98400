#!/bin/sh
# OpenVINO 2026.4 and factors of channels behind a reduction, beside ONNX Runtime and NumPy, float32 on the CPU. A tensor
# of three axes (N, C, L) is reduced over the last one, then multiplied by a constant (1, C, 1): item n gets factor n,
# in place of channel c factor c, after ReduceSum, ReduceMean and ReduceMax. With four axes, or factors as an input, it is
# right. Expected: the product that ONNX says.
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
x = rng.integers(1, 5, (2, 4, 3)).astype(np.float32)
factors = np.array([2, 3, 5, 7], np.float32)
results = {}
for kind in ("ReduceSum", "ReduceMean", "ReduceMax"):
    for ndim, constant in ((3, True), (4, True), (3, False)):
        own = factors.reshape(1, 4, *[1] * (ndim - 2))
        inputs = {"x": x if ndim == 3 else x[:, :, None]} | ({} if constant else {"factors": own})
        kept = {"factors": own} if constant else {}
        attributes = {"axes": [ndim - 1]} if kind != "ReduceSum" else {}
        if kind == "ReduceSum":
            kept["axes"] = np.array([ndim - 1])
        operands = ["x", "axes"] if kind == "ReduceSum" else ["x"]
        nodes = [node(kind, operands, ["reduced"], **attributes), node("Mul", ["reduced", "factors"], ["y"])]
        (found,), (wanted,) = run(nodes, kept, inputs, ["y"])
        reduced = {"ReduceSum": x.sum(2), "ReduceMean": x.mean(2), "ReduceMax": x.max(2)}[kind]
        found, wanted = found.reshape(2, 4), wanted.reshape(2, 4)
        assert np.allclose(wanted, reduced * factors)
        first = np.allclose(found, reduced * factors[:2, None])
        results[kind, ndim, constant] = "right" if np.allclose(found, wanted) else "the item's factor" if first else "wrong"
        how = "constant" if constant else "as input"
        print(f"{kind}, {ndim} axes, factors {how}: {found.tolist()}, ONNX Runtime {wanted.tolist()}")
as_found = all(
    what == ("the item's factor" if (ndim, constant) == (3, True) else "right")
    for (kind, ndim, constant), what in results.items()
)
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
