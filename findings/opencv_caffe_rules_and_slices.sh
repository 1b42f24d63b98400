#!/bin/sh
# OpenCV 4's Caffe importer: layers that a phase excludes, and a Slice one of whose tops nothing reads.
# One would think that layers with include { phase: TRAIN } are left out, as Caffe does in phase TEST; they run. And that
# a Slice without slice points divides its bottom by the number of its tops; OpenCV takes the number of those that other
# layers read: where that is one, its top is the whole bottom.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "opencv-python-headless==4.14.0.94"
"$folder/venv/bin/python" - <<'P'
import sys

import cv2
import numpy as np

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 2 dim: 2 } } }\n'
PHASES = INPUT + """
layer { name: "double" type: "Power" bottom: "data" top: "data" power_param { scale: 2 } include { phase: TRAIN } }
layer { name: "out" type: "ReLU" bottom: "data" top: "out" }
"""
SLICED = INPUT + """
layer { name: "parts" type: "Slice" bottom: "data" top: "a" top: "b" top: "c" slice_param { axis: 1 } }
layer { name: "out" type: "ReLU" bottom: "a" top: "out" }
"""


def forward(text):
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8))
    net.setInput(np.ones((1, 3, 2, 2), np.float32))
    return net.forward()


print("OpenCV", cv2.__version__)
phases, sliced = forward(PHASES), forward(SLICED)
print(f"a layer of phase TRAIN that doubles: {phases.ravel()[0]} (in Caffe, phase TEST: 1.0)")
print(f"one of three parts of 3 channels: shape {sliced.shape} (in Caffe: (1, 1, 2, 2))")
as_found = phases.ravel()[0] == 2 and sliced.shape == (1, 3, 2, 2)
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
