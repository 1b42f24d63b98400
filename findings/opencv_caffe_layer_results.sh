#!/bin/sh
# OpenCV 4's nets of Caffe, asked for a layer by its name: net.forward("bn").
# One would think that the answer is what the layer makes. Where BatchNorm, Scale or ReLU have become part of the
# convolution before them, it is not: "bn" gives memory that no layer wrote (here zeros or leftovers), and "conv", asked
# for after the whole net has run, gives what convolution, BatchNorm and ReLU make together; asked first it gives its
# own. With net.enableFusion(False) all are right.
# A layer is not always called as the prototxt says, either: a Convolution has the name of its top.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "opencv-python-headless==4.14.0.94"
"$folder/venv/bin/python" - <<'P'
import struct
import sys

import cv2
import numpy as np

PROTOTXT = b"""
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } } }
layer { name: "convolution" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 1 kernel_size: 1 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
"""


def varint(value):
    head = b""
    while value > 127:
        head, value = head + bytes([value & 127 | 128]), value >> 7
    return head + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def layer(name, kind, *blobs):
    made = b""
    for shape, value in blobs:
        dims = field(7, field(1, b"".join(varint(extent) for extent in shape)))
        made += field(7, field(5, struct.pack("<f", value)) + dims)
    return field(100, field(1, name) + field(2, kind) + made)


MODEL = layer(b"convolution", b"Convolution", ((1, 1, 1, 1), 2.0))
MODEL += layer(b"bn", b"BatchNorm", ((1,), -3.0), ((1,), 4.0), ((1,), 1.0))
IMAGE = np.full((1, 1, 8, 8), 5, np.float32)
OWN = {"conv": 10.0, "bn": 6.5, "relu": 6.5}


def read():
    net = cv2.dnn.readNetFromCaffe(*(np.frombuffer(data, np.uint8) for data in (PROTOTXT, MODEL)))
    net.setInput(IMAGE)
    return net


def values(net, names):
    return {name: round(float(net.forward(name).ravel()[0]), 3) for name in names}


print("OpenCV", cv2.__version__)
names = read().getLayerNames()
print("names:", names)
plain = read()
plain.enableFusion(False)
asked_first = {name: values(read(), [name])[name] for name in names}
after = read()
after.forward()
found = {"without fusion": values(plain, names), "each asked first": asked_first, "after a pass": values(after, names)}
for name, row in found.items():
    print(f"{name}: {row}; the layers' own: {OWN}")
as_found = (names == ("conv", "bn", "relu") and found["without fusion"] == OWN and asked_first["conv"] == OWN["conv"]
            and asked_first["bn"] != OWN["bn"] and found["after a pass"]["conv"] != OWN["conv"])
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
