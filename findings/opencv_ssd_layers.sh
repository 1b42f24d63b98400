#!/bin/sh
# OpenCV 4's Caffe importer and two layers of SSD, against the fork that they come from (weiliu89/caffe, branch ssd).
# PriorBox without the option `clip`: the fork leaves boxes as they are (its caffe.proto: default = false); OpenCV clips
# them to the image. DetectionOutput with keep_top_k: the fork gives as many rows as it found, those of a label
# together; OpenCV always gives keep_top_k rows, sorted by score over all labels, and fills up with rows of zeros, which
# read like detections of image 0, label 0, score 0.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "opencv-python-headless==4.14.0.94"
"$folder/venv/bin/python" - <<'P'
import sys

import cv2
import numpy as np


def forward(text, **inputs):
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8))
    for name, values in inputs.items():
        net.setInput(np.asarray(values, np.float32), name)
    return net.forward()


PRIORS = """
input: "x" input_shape { dim: 1 dim: 1 dim: 1 dim: 1 } input: "image" input_shape { dim: 1 dim: 3 dim: 10 dim: 10 }
layer { name: "y" type: "PriorBox" bottom: "x" bottom: "image" top: "y" prior_box_param { min_size: 20 variance: 0.1 %s } }
"""
FOUND = """
input: "loc" input_shape { dim: 1 dim: 12 } input: "conf" input_shape { dim: 1 dim: 9 }
input: "prior" input_shape { dim: 1 dim: 2 dim: 12 }
layer { name: "y" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" top: "y"
        detection_output_param { num_classes: 3 share_location: true background_label_id: 0 code_type: CORNER
                                 keep_top_k: 6 confidence_threshold: 0.3
                                 nms_param { nms_threshold: 0.5 top_k: 10 } } }
"""
print("OpenCV", cv2.__version__)
x, image = np.zeros((1, 1, 1, 1)), np.zeros((1, 3, 10, 10))
boxes = {clip: forward(PRIORS % clip, x=x, image=image)[0, 0].tolist() for clip in ("", "clip: false", "clip: true")}
for clip, box in boxes.items():
    print(f"a box of 20 pixels in an image of 10, {clip or 'clip not said'}: {box}")
priors = [0, 0, 0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8, 1, 1]
scores = [0.1, 0.5, 0.4, 0.1, 0.1, 0.8, 0.1, 0.9, 0.1]
rows = forward(FOUND, loc=np.zeros((1, 12)), conf=[scores], prior=[[priors, [0.1] * 12]]).reshape(-1, 7)
print("rows for the four detections above the threshold:")
print(rows)
as_found = (
    boxes[""] == boxes["clip: true"] == [0, 0, 1, 1]
    and boxes["clip: false"] == [-0.5, -0.5, 1.5, 1.5]
    and rows.shape == (6, 7)
    and rows[:4, 1].tolist() == [1, 2, 1, 2]
    and (np.diff(rows[:, 2]) <= 0).all()
    and not rows[4:].any()
)
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
