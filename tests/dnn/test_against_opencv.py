"""`segcaffe.dnn.Net` beside recorded answers of OpenCV 4.14 (tools/record_opencv_dnn.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe import dnn
from tests.conftest import ROOT
from tests.dnn.nets import CASES, inputs, weights

HERE = Path(__file__).parent
TOLD: dict[str, dict[str, Any]] = json.loads((HERE / "opencv.json").read_text(encoding="utf-8"))["cases"]
MODELS = ROOT.parent / "shared" / "models"
UNCOUNTED = ("PriorBox",)
"""Types whose operations OpenCV counts, and we do not."""


def _net(case: str, folder: Path) -> dnn.Net:
    return dnn.readNetFromCaffe(*weights(case, folder))


def _plain(shapes: Any) -> Any:
    return [[shape.tolist() for shape in layer] for layer in shapes]


@pytest.mark.parametrize("case", CASES)
def test_names_numbers_and_types(case: str, tmp_path: Path) -> None:
    net, told = _net(case, tmp_path), TOLD[case]
    assert list(net.getLayerNames()) == told["names"]
    assert [net.getLayerId(name) for name in told["names"]] == told["ids"]
    assert [net.getLayer(number).type for number in told["ids"]] == told["types"]
    assert [net.getLayer(number).name for number in told["ids"]] == told["names"]
    assert net.getUnconnectedOutLayers().tolist() == told["unconnected"]
    assert net.getUnconnectedOutLayers().dtype == np.int32
    assert list(net.getUnconnectedOutLayersNames()) == told["unconnected names"]
    assert list(net.getLayerTypes()) == told["all types"]


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_costs(case: str, tmp_path: Path) -> None:
    net, told = _net(case, tmp_path), TOLD[case]
    shapes = [values.shape for values in inputs(case)[0].values()]
    _, bottoms, tops = net.getLayersShapes(shapes)
    assert [_plain(bottoms), _plain(tops)] == told["shapes"]
    assert [[list(blob.shape) for blob in net.getLayer(number).blobs] for number in told["ids"]] == told["blobs"]
    counted = [i for i, kind in enumerate(told["types"]) if kind not in UNCOUNTED]
    assert [net.getFLOPS(told["ids"][i], shapes) for i in counted] == [told["flops"][i] for i in counted]
    assert [list(net.getMemoryConsumption(number, shapes)) for number in told["ids"]] == told["memory"]


@pytest.mark.parametrize("case", CASES)
def test_what_each_layer_makes(case: str, tmp_path: Path) -> None:
    net = _net(case, tmp_path)
    names = net.getLayerNames()
    with np.load(HERE / "opencv.npz") as recorded:
        for turn, values in enumerate(inputs(case)):
            for name, array in values.items():
                net.setInput(array, name)
            together = net.forwardAndRetrieve(names)
            for layer, tops in zip(names, together, strict=True):
                for index, (top, alone) in enumerate(zip(tops, net.forwardAndRetrieve([layer])[0], strict=True)):
                    wanted = recorded[f"{case}/{turn}/{layer}/{index}"]
                    assert top.shape == wanted.shape
                    assert top.dtype == np.float32
                    for found in (top, alone):
                        assert np.abs(found - wanted).max() <= 1e-5 * max(1, np.abs(wanted).max()), layer
            assert np.allclose(net.forward(), together[-1][0], atol=1e-5)
            assert np.array_equal(net.forward(names[0]), together[0][0])
            firsts = net.forward(names)
            assert isinstance(firsts, tuple)
            assert all(np.array_equal(mine, tops[0]) for mine, tops in zip(firsts, together, strict=True))


@pytest.mark.skipif(not MODELS.is_dir(), reason="needs the trained nets beside the checkout")
@pytest.mark.parametrize(
    ("net", "model", "record"),
    [
        ("lenet_mnist/lenet.prototxt", "lenet_mnist/lenet_basic_iter_10000.caffemodel", None),
        ("v1_mnist_cifar/lenet.prototxt", "v1_mnist_cifar/lenet_iter_10000.caffemodel", None),
        ("v1_mnist_cifar/cifar10_full.prototxt", "v1_mnist_cifar/cifar10_full_iter_70000.caffemodel", None),
        ("ultraface/RFB-320.prototxt", "ultraface/RFB-320.caffemodel", None),
        ("mtcnn/det1.prototxt", "mtcnn/det1.caffemodel", None),
        ("mtcnn/det1.prototxt", "mtcnn/det1.caffemodel", "mtcnn/det1_fullconv_61x45.cv2ref.npz"),
        ("mtcnn/det2.prototxt", "mtcnn/det2.caffemodel", None),
    ],
)
def test_trained_nets(net: str, model: str, record: str | None) -> None:
    found = dnn.readNetFromCaffe(str(MODELS / net), str(MODELS / model))
    with np.load(MODELS / (record or model.replace(".caffemodel", ".cv2ref.npz"))) as recorded:
        for key in recorded:
            if key.startswith("in:"):
                found.setInput(recorded[key], key[3:])
        names = [key[4:] for key in recorded if key.startswith("out:")]
        for name, values in zip(names, found.forward(names), strict=True):
            wanted = recorded[f"out:{name}"]
            assert values.shape == wanted.shape
            assert np.abs(values - wanted).max() <= 1e-4 * max(1, np.abs(wanted).max())
