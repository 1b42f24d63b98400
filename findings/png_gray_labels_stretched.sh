#!/bin/sh
# Label maps as gray PNGs of 2 or 4 bits, the smallest file that holds up to 4 or 16 classes, in OpenCV and Pillow.
# One would think that imread(..., IMREAD_UNCHANGED) and Image.open give the stored numbers, as both do for 8 and 16 bits.
# Both stretch them over 0..255 instead: class 1 of a 2-bit map is 85, of a 4-bit map 17. With a palette (colour type 3)
# Pillow gives the stored indices at the same depths. Pillow's 1-bit gray, mode "1", is not stretched, OpenCV's is.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numpy==2.2.6" "opencv-python-headless==4.12.0.88" "pillow==12.0.0"
"$folder/venv/bin/python" - <<'P'
import io
import struct
import sys
import zlib

import cv2
import numpy as np
import PIL
from PIL import Image


def png(bits, colour, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = b""
    for row in rows:
        text = "".join(format(value, f"0{bits}b") for value in row)
        text += "0" * (-len(text) % 8)
        lines += b"\0" + int(text, 2).to_bytes(len(text) // 8, "big")
    palette = chunk(b"PLTE", bytes(range(3 << bits))) if colour == 3 else b""
    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], bits, colour, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette
            + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


print("OpenCV", cv2.__version__, "Pillow", PIL.__version__)
as_found = True
for bits in (1, 2, 4):
    labels = np.arange(8).reshape(2, 4) % (1 << bits)
    gray, indexed = png(bits, 0, labels), png(bits, 3, labels)
    factor = 255 // ((1 << bits) - 1)
    by_cv2 = cv2.imdecode(np.frombuffer(gray, np.uint8), cv2.IMREAD_UNCHANGED)
    by_pillow = np.asarray(Image.open(io.BytesIO(gray))).astype(int)
    indices = np.asarray(Image.open(io.BytesIO(indexed))).astype(int)
    print(f"{bits} bits, stored {labels[0].tolist()}: OpenCV {by_cv2[0].tolist()}, Pillow {by_pillow[0].tolist()}, "
          f"Pillow with a palette {indices[0].tolist()}")
    as_found &= np.array_equal(by_cv2, labels * factor) and np.array_equal(indices, labels)
    as_found &= np.array_equal(by_pillow, labels * (1 if bits == 1 else factor))
print("as found" if as_found else "CHANGED")
sys.exit(not as_found)
P
