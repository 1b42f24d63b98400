#!/bin/sh
# OpenCV 4's Caffe importer and Axpy, the layer of SENet: top = a * x + y, where a, x, y are its bottoms in this order
# (so says the layer's header in SENet's Caffe and in those that took it over, and so do SENet's nets: scale, branch,
# shortcut). OpenCV scales the third bottom and adds the second: it scales the shortcut, and every SE-ResNet that was
# trained with Caffe gives other outputs, without a word.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "opencv-python-headless==4.14.0.94"
"$folder/venv/bin/python" - <<'P'
import sys

import cv2
import numpy as np

PROTOTXT = b"".join(
    b'input: "%s" input_shape { dim: 1 dim: 2 dim: %d dim: %d } ' % (name, size, size)
    for name, size in ((b"a", 1), (b"x", 3), (b"y", 3))
) + b'layer { name: "top" type: "Axpy" bottom: "a" bottom: "x" bottom: "y" top: "top" }'

rng = np.random.default_rng(0)
a, x, y = (rng.standard_normal((1, 2, size, size)).astype(np.float32) for size in (1, 3, 3))
net = cv2.dnn.readNetFromCaffe(np.frombuffer(PROTOTXT, np.uint8))
for name, values in zip("axy", (a, x, y)):
    net.setInput(values, name)
top = net.forward("top")
documented, found = np.allclose(top, a * x + y), np.allclose(top, a * y + x, atol=1e-6)
print("OpenCV", cv2.__version__)
print("a * x + y, as the layer is documented:", documented)
print("a * y + x:", found)
sys.exit(0 if found and not documented else 1)
P
