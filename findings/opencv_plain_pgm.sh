#!/bin/sh
# OpenCV and gray images in the PGM format whose largest value (maxval) is below 255, label maps for example.
# One would think that imread(..., IMREAD_UNCHANGED) gives the values in the file, as it does for the packed form (P5).
# For the plain form (P2), the same image in text, it stretches them over 0..255: label 19 of 21 comes out as 242.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numpy==2.2.6" "opencv-python-headless==4.12.0.88"
"$folder/venv/bin/python" - "$folder" <<'P'
import sys
import cv2
import numpy as np

labels, maxval = np.arange(21, dtype=np.uint8).reshape(3, 7), 20
with open(sys.argv[1] + "/packed.pgm", "wb") as file:
    file.write(b"P5\n7 3\n%d\n" % maxval + labels.tobytes())
with open(sys.argv[1] + "/plain.pgm", "w") as file:
    file.write("P2\n7 3\n%d\n" % maxval + "\n".join(" ".join(map(str, row)) for row in labels.tolist()) + "\n")
found = {name: cv2.imread(f"{sys.argv[1]}/{name}.pgm", cv2.IMREAD_UNCHANGED) for name in ("packed", "plain")}
print("OpenCV", cv2.__version__)
for name, image in found.items():
    print(name, image.ravel().tolist())
stretched = np.array_equal(found["packed"], labels) and found["plain"].max() == 255
print("as found: plain is stretched, packed is not" if stretched else "CHANGED")
sys.exit(not stretched)
P
