#!/bin/sh
# A 16-bit gray PNG, such as instance ids or depth, made 8-bit by Pillow's convert("L") and by OpenCV's IMREAD_GRAYSCALE.
# One would think that both scale (value / 256), or both refuse. Pillow cuts off: everything from 255 on becomes 255.
# OpenCV keeps the upper byte, so that labels below 256 all become 0. Neither warns, and code that normalises images with
# one or the other gets two different label maps from one file.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numpy==2.2.6" "opencv-python-headless==4.12.0.88" "pillow==12.0.0"
"$folder/venv/bin/python" - "$folder/ids.png" <<'P'
import sys

import cv2
import numpy as np
import PIL
from PIL import Image

ids = np.array([[0, 1, 19, 254], [255, 256, 1000, 26001]], np.uint16)
cv2.imwrite(sys.argv[1], ids)
image = Image.open(sys.argv[1])
by_pillow = np.asarray(image.convert("L"))
by_cv2 = cv2.imread(sys.argv[1], cv2.IMREAD_GRAYSCALE)
print("OpenCV", cv2.__version__, "Pillow", PIL.__version__, "mode", image.mode)
for name, values in (("stored", ids), ("Pillow, convert('L')", by_pillow), ("OpenCV, IMREAD_GRAYSCALE", by_cv2)):
    print(name, values.ravel().tolist())
as_found = np.array_equal(by_pillow, np.minimum(ids, 255)) and np.abs(by_cv2 - ids / 256.0).max() < 1
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
