"""Nets that judge regions from elsewhere, and files of regions."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.data.annotated.regions import read_regions
from segcaffe.errors import DataError, GraphError
from segcaffe.predict import given_regions
from segcaffe.predict.given_regions import GivenRegionPredictor
from segcaffe.predict.kinds import predictor_class
from segcaffe.predict.loaded import Settings
from segcaffe.predict.pictures import Picture
from segcaffe.predict.region_predictor import RegionPredictor
from tests.predict.test_boxes import regions_reference

# The largest pixel of a region, and half of it, are the scores of two classes; class 2 is moved half a width.
NET = """
input: "data" input_shape { dim: 1 dim: 1 dim: 32 dim: 32 }
input: "rois" input_shape { dim: 1 dim: 5 }
layer { name: "pool" type: "ROIPooling" bottom: "data" bottom: "rois" top: "pool"
        roi_pooling_param { pooled_h: 1 pooled_w: 1 spatial_scale: 1 } }
layer { name: "scores" type: "InnerProduct" bottom: "pool" top: "scores" inner_product_param { num_output: 3 } }
layer { name: "bbox_pred" type: "InnerProduct" bottom: "pool" top: "bbox_pred" inner_product_param { num_output: 12 } }
"""
REGIONS = np.array([[0, 0, 7, 7], [8, 0, 15, 7], [0, 8, 7, 15], [1, 0, 8, 7], [0, 0, 15, 15]], float)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    predictor = GivenRegionPredictor(tmp_path / "net.prototxt", [], allow_partial=True)
    weights, bias = predictor.net.params["scores"]
    weights.data[:, 0], bias.data[...] = (0, 1, 0.5), 0
    weights, bias = predictor.net.params["bbox_pred"]
    weights.data[...], bias.data[...] = 0, 0
    bias.data[-4:] = 0.5, 0, 0, 0
    predictor.net.save(str(tmp_path / "net.caffemodel"))
    return tmp_path / "net.prototxt"


def _loaded(net: Path, size: tuple[int, int] = (16, 32)) -> GivenRegionPredictor:
    assert predictor_class(net, {}) is GivenRegionPredictor
    return GivenRegionPredictor(net, [net.with_suffix(".caffemodel")], Settings(size=size, scale=1 / 255))


def _image() -> np.ndarray:  # type: ignore[type-arg]
    image = np.zeros((16, 16, 1), np.uint8)
    image[2:6, 10:14], image[10:12, 2:6] = 255, 51
    return image


def test_regions_become_boxes(net: Path) -> None:
    predictor = _loaded(net)
    found = predictor.answer_regions(_image(), REGIONS)
    np.testing.assert_allclose(found, regions_reference(predictor, 1, 16, 16), atol=1e-5)
    assert [row[:2] for row in found.tolist()][:2] == [[1, 1], [1, 1]]
    assert {0.2, 0.1} < {round(float(score), 3) for score in found[:, 1]}


def test_images_are_resized_and_regions_with_them(net: Path) -> None:
    predictor = _loaded(net, (32, 64))
    found = predictor.answer_regions(_image(), REGIONS)
    assert predictor.net.blobs["data"].data.shape == (1, 1, 32, 32)
    np.testing.assert_array_equal(predictor.net.blobs["rois"].data[:, 1:], REGIONS * 2)
    np.testing.assert_allclose(found, regions_reference(predictor, 2, 16, 16), atol=1e-5)


def test_many_regions_go_through_in_parts(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, whole = _loaded(net), _loaded(net).answer_regions(_image(), REGIONS)
    monkeypatch.setattr(given_regions, "_AT_ONCE", 2)
    np.testing.assert_array_equal(predictor.answer_regions(_image(), REGIONS), whole)
    assert predictor.answer_regions(_image(), np.empty((0, 4))).shape == (0, 6)


def test_without_regions(net: Path) -> None:
    with pytest.raises(GraphError, match=r'input "rois": give --rois FILE'):
        _loaded(net).answer_picture(Picture("a", "a.png", ""), _image())


def test_files_of_all_forms(tmp_path: Path) -> None:
    for name, content in {
        "own.json": json.dumps({"a": REGIONS.tolist(), "x/b.jpg": []}),
        "coco.json": json.dumps([{"image_id": "a", "bbox": [x, y, z - x + 1, w - y + 1]} for x, y, z, w in REGIONS]),
        "all.json": json.dumps(REGIONS.tolist()),
        "table.csv": "ymin,image,xmax,ymax,xmin\n" + "".join(f"{y},d/a.png,{z},{w},{x}\n" for x, y, z, w in REGIONS),
        "windows.csv": "filename,ymin,xmin,ymax,xmax\n" + "".join(f"a.jpg,{y},{x},{w},{z}\n" for x, y, z, w in REGIONS),
    }.items():
        (tmp_path / name).write_text(content)
        np.testing.assert_array_equal(read_regions(tmp_path / name).of("a"), REGIONS, name)
    np.save(tmp_path / "all.npy", REGIONS.astype(np.float32))
    np.testing.assert_array_equal(read_regions(tmp_path / "all.npy").of("anything"), REGIONS)
    assert read_regions(tmp_path / "own.json").of("b").shape == (0, 4)
    (tmp_path / "numbers.json").write_text('[{"image_id": 12, "bbox": [1, 2, 3, 4]}]')
    assert read_regions(tmp_path / "numbers.json").of("000012").tolist() == [[1, 2, 3, 5]]
    with pytest.raises(DataError, match='no regions of the image "c"'):
        read_regions(tmp_path / "own.json").of("c")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.txt", "1 2 3 4", "regions are read from files of the forms"),
        ("x.json", "[[1, 2, 3]]", "rows of four numbers"),
        ("x.json", "[[1, 2, 0, 4]]", "must not lie before"),
        ("x.json", '{"a": [[1, 2, 3, null]]}', "Received something else"),
        ("x.json", "[1", "Received something else"),
        ("x.json", "[" * 100_000, "Received something else"),
        ("x.json", "5", "Received something else"),
        ("x.json", '[{"image_id": 1, "bbox": [1, 2, 3]}]', "Received something else"),
        ("x.csv", "image,xmin,ymin\na,1,2\n", "Received something else"),
        ("x.csv", "image,xmin,ymin,xmax,ymax\na,1,2,3,nan\n", "must not lie before"),
        ("x.npy", "nothing", "Received something else"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=told) as found:
        read_regions(tmp_path / name)
    assert len(str(found.value)) < 700


def test_the_command(net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), _image())
    (tmp_path / "list.txt").write_text("a.png\nb.png\n")
    (tmp_path / "regions.json").write_text(json.dumps({"a": REGIONS.tolist(), "b": REGIONS[2:3].tolist()}))
    weights = str(net.with_suffix(".caffemodel"))
    command = ["predict", str(net), weights, str(tmp_path / "list.txt"), "--root", f"{tmp_path}/", "--size", "16x32"]
    command += ["--out", str(tmp_path / "out"), "--scale", "0.00392156862745098", "--mean", "0"]
    assert main(command) == 2
    assert "give their file, --rois FILE" in capsys.readouterr().err
    command += ["--rois", str(tmp_path / "regions.json")]
    assert main(command) == 0
    rows = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert rows[0] == {"image_id": "a", "category_id": 1, "bbox": [8, 0, 8, 9], "score": 1}
    assert [row["category_id"] for row in rows if row["image_id"] == "b"] == [1, 2]
    assert (tmp_path / "out" / "pictures" / "a.jpg").exists()
    (tmp_path / "regions.json").write_text(json.dumps({"a": []}))
    assert main(command) == 2
    assert "rois" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 2
    assert 'no regions of the image "b"' in " ".join(capsys.readouterr().err.split())


def test_nets_that_propose_regions_take_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proposal = (
        'layer { name: "rois" type: "Proposal" bottom: "o" bottom: "m" bottom: "info" top: "rois" '
        "proposal_param { ratio: 1 scale: 1 } }"
    )
    inputs = "".join(
        f'input: "{name}" input_shape {{ dim: 1 dim: {c} dim: 2 dim: 2 }}' for name, c in {"o": 2, "m": 4}.items()
    )
    text = NET.replace('input: "rois" input_shape { dim: 1 dim: 5 }', inputs + 'input: "info" input_shape { dim: 3 }')
    (tmp_path / "net.prototxt").write_text(text.replace("\nlayer", f"\n{proposal}\nlayer", 1))
    assert predictor_class(tmp_path / "net.prototxt", {}) is RegionPredictor
    cv2.imwrite(str(tmp_path / "a.png"), _image())
    command = ["predict", str(tmp_path / "net.prototxt"), "", str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    assert main([*command, "--rois", "x.npy"]) == 2
    assert "--rois is for regions from elsewhere" in capsys.readouterr().err
