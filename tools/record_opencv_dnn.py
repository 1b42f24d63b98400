"""Record what OpenCV 4.14's importer for Caffe files answers, for tests/dnn: python tools/record_opencv_dnn.py.

Needs an environment of its own: segcaffe with "opencv-python-headless==4.14.0.94" instead of OpenCV 5. Writes
tests/dnn/opencv.json (what a net tells of itself) and tests/dnn/opencv.npz (what its layers, and the scripts, make).
Each layer is asked of a net of its own that does not fuse layers: asked for one that another has taken in, OpenCV
answers with memory that no layer wrote.
"""

from __future__ import annotations

import contextlib
import json
import runpy
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.dnn.nets import CASES, inputs, weights

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "dnn"


def main() -> int:
    """Record all cases."""
    told, arrays = {}, {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as name:
            files = weights(case, Path(name))
            told[case] = _told(cv2.dnn.readNetFromCaffe(*files), case)
            for turn, values in enumerate(inputs(case)):
                for layer in told[case]["names"]:
                    net = cv2.dnn.readNetFromCaffe(*files)
                    net.enableFusion(False)
                    for key, array in values.items():
                        net.setInput(array, key)
                    for index, top in enumerate(net.forwardAndRetrieve([layer])[0]):
                        arrays[f"{case}/{turn}/{layer}/{index}"] = top
    arrays |= {f"script {script.stem}": _run(script) for script in sorted((FOLDER / "scripts").glob("*.py"))}
    text = json.dumps({"opencv": cv2.__version__, "cases": told}, indent=1)
    (FOLDER / "opencv.json").write_text(text + "\n", encoding="utf-8")
    np.savez_compressed(FOLDER / "opencv.npz", **arrays)
    return 0


def _run(script: Path) -> Any:
    """What a script computes."""
    text = script.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        weights(text.splitlines()[0].removeprefix("# Net: "), Path(name))
        with contextlib.chdir(name):
            return runpy.run_path(str(script))["result"]


def _told(net: Any, case: str) -> dict[str, Any]:
    """What a net tells of itself."""
    first = inputs(case)[0]
    for key, array in first.items():
        net.setInput(array, key)
    net.forward()
    shapes = [list(array.shape) for array in first.values()]
    names = net.getLayerNames()
    ids = [net.getLayerId(name) for name in names]
    layers = [net.getLayer(number) for number in ids]
    of_layers = [net.getLayersShapes(shapes)[side] for side in (1, 2)]
    return {
        "names": names,
        "ids": ids,
        "types": [layer.type for layer in layers],
        "blobs": [[list(blob.shape) for blob in layer.blobs] for layer in layers],
        "unconnected": net.getUnconnectedOutLayers().tolist(),
        "unconnected names": net.getUnconnectedOutLayersNames(),
        "all types": net.getLayerTypes(),
        "shapes": [[[shape.tolist() for shape in layer] for layer in side] for side in of_layers],
        "flops": [net.getFLOPS(number, shapes) for number in ids],
        "memory": [net.getMemoryConsumption(number, shapes) for number in ids],
    }


if __name__ == "__main__":
    sys.exit(main())
