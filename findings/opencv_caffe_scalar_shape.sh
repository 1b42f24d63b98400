#!/bin/sh
# OpenCV 4's Caffe importer and the parameter of a PReLU with channel_shared (or a Scale with num_axes: 0): one number.
# Its blob has no axes. A writer may leave the field `shape` out, or write it with no dimensions; to Caffe both are the
# same blob. OpenCV reads the first (and a shape of [1]); for the second readNetFromCaffe raises an assertion of
# core/matrix.cpp that names neither layer nor file.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "opencv-python-headless==4.14.0.94"
"$folder/venv/bin/python" - <<'P'
import struct
import sys

import cv2
import numpy as np

PROTOTXT = (b'input: "data" input_shape { dim: 1 dim: 2 dim: 2 dim: 2 } '
            b'layer { name: "p" type: "PReLU" bottom: "data" top: "y" prelu_param { channel_shared: true } }')


def varint(value):
    head = b""
    while value > 127:
        head, value = head + bytes([value & 127 | 128]), value >> 7
    return head + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def caffemodel(shape):
    blob = field(5, struct.pack("<f", 0.5)) + shape
    layer = field(1, b"p") + field(2, b"PReLU") + field(3, b"data") + field(4, b"y") + field(7, blob)
    return field(1, b"net") + field(100, layer)


def outcome(shape):
    try:
        net = cv2.dnn.readNetFromCaffe(*(np.frombuffer(b, np.uint8) for b in (PROTOTXT, caffemodel(shape))))
        net.setInput(-np.ones((1, 2, 2, 2), np.float32))
        return f"runs: {net.forward().ravel()[0]}"
    except cv2.error as error:
        return f"raises: {str(error).splitlines()[0].split('error: ')[-1]}"


print("OpenCV", cv2.__version__)
found = {name: outcome(shape) for name, shape in
         (("no shape", b""), ("shape with no dimensions", field(7, b"")), ("shape [1]", field(7, field(1, b"\1"))))}
for name, text in found.items():
    print(f"{name}: {text}")
as_found = [text.split(":")[0] for text in found.values()] == ["runs", "raises", "runs"]
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
