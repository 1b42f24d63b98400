#!/bin/sh
# Tanh and Softplus of ONNX in OpenCV's dnn. One would think that tanh of a large number is 1 and Softplus of one that
# number, as everywhere. OpenCV 5.0 gives NaN for tanh from about 45 on, where 4.14 gives 1: a quotient of exponentials
# that overflow. Softplus is infinite from 89 on in both: a logarithm of one. Negative numbers are right.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cat > "$folder/try.py" <<'P'
import sys

import cv2
import numpy as np
from onnx import checker, helper

X = np.array([-100, -50, -1, 1, 40, 50, 88, 100], np.float32)


def run(operator):
    values = [helper.make_tensor_value_info(name, 1, [1, X.size]) for name in "xy"]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "one", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))
    net.setInput(X[None], "x")
    return net.forward().ravel()


tanh, softplus = run("Tanh"), run("Softplus")
print("OpenCV", cv2.__version__)
for x, a, b in zip(X, tanh, softplus):
    print(f"  x {x:4g}: tanh {a:.6g} (is {np.tanh(x):.6g}), Softplus {b:.6g} (is {np.logaddexp(0, x):.6g})")
wrong = ~np.isclose(tanh, np.tanh(X))
as_found = wrong.tolist() == [False] * 5 + [cv2.__version__.startswith("5")] * 3 and np.isinf(softplus[-1])
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
for version in 4.14.0.94 5.0.0.93; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -q "opencv-python-headless==$version" "onnx==1.23.2"
    "$folder/$version/bin/python" "$folder/try.py"
done
