#!/bin/sh
# Means of an ONNX model over three of four axes, as a batch's own statistics take them (ReduceMean over N, H and W), in
# OpenCV's dnn. One would think that it gives NumPy's numbers or refuses the model, since it is right for two axes.
# Without a word it gives others: OpenCV 4.14 and 5.0 for axes 0, 2, 3 from a batch of 3 on, not of 2; 4.14 for axes
# 1, 2, 3 always. ReduceSum and ReduceMax are the same. Two nodes, of at most two axes each, are right in both.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cat > "$folder/try.py" <<'P'
import sys

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper

print("OpenCV", cv2.__version__)


def means(image, *steps):
    nodes, name = [], "x"
    for step, axes in enumerate(steps):
        nodes.append(helper.make_node("ReduceMean", [name], [f"y{step}"], axes=axes, keepdims=1))
        name = f"y{step}"
    shape = image.mean(tuple(axis for axes in steps for axis in axes), keepdims=True).shape
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, image.shape),
              helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))
    net.setInput(image, "x")
    return net.forward()


as_found = True
for batch in (2, 3):
    image = np.random.default_rng(0).standard_normal((batch, 3, 4, 5)).astype(np.float32)
    for axes in ((0, 2, 3), (1, 2, 3)):
        right = image.mean(axes, keepdims=True)
        at_once = np.abs(means(image, axes) - right).max()
        in_steps = np.abs(means(image, axes[1:], axes[:1]) - right).max()
        print(f"batch {batch}, axes {axes}: at once off by {at_once:.2g}, in two steps by {in_steps:.2g}")
        wrong = batch == 3 if axes[0] == 0 else cv2.__version__.startswith("4")
        as_found &= (at_once > 1e-3) == wrong and in_steps < 1e-5
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
for version in 4.14.0.94 5.0.0.93; do
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install -q "numpy==2.4.6" "onnx==1.23.2" "opencv-python-headless==$version"
    "$folder/venv/bin/python" "$folder/try.py"
done
