"""The files that DetectionOutput writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.errors import SegcaffeError
from segcaffe.layers.detection.detection_output import DetectionOutput
from segcaffe.predict.deploy import deploy
from segcaffe.proto.text import read_net
from segcaffe.testing import LayerCase
from segcaffe.trust.rules import Rules, apply

PRIORS = np.array([[0.1, 0.2, 0.5, 0.6], [0.55, 0.5, 1.1, 0.9], [-0.1, 0, 0.3, 0.25]], np.float32)
SCORES = np.array([[[0.1, 0.8, 0.3], [0, 0, 0.123456789], [0.5, 0.25, 0]], [[0, 0, 0.75], [0, 0, 0], [0, 0, 0]]])
"""Two images, three boxes, three classes; what scores at most 0.1 is not found."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    items = ("none_of_the_above", "cat", "dog")
    (tmp_path / "labels").write_text("".join(f'item {{ name: "{n}" label: {i} }}\n' for i, n in enumerate(items)))
    (tmp_path / "numbers").write_text(
        "".join(f'item {{ name: "{n}" label: {i} }}\n' for i, n in enumerate((0, 17, 18)))
    )
    (tmp_path / "sizes").write_text("2007_000001 100 200\n000042 50 40\n12 80 60\n")
    return tmp_path


def _forward(save: str, times: int = 1, more: str = "") -> None:
    options = (
        f"detection_output_param {{ num_classes: 3 confidence_threshold: 0.1 nms_param {{ nms_threshold: 0.9 }} {more} "
        f"save_output_param {{ {save} }} }}"
    )
    priors = np.stack([PRIORS, np.ones_like(PRIORS)]).reshape(1, 2, -1)
    layer, bottom, top = LayerCase(
        "DetectionOutput", options, (np.zeros((2, 12)), SCORES.reshape(2, -1), priors)
    ).build()
    for _ in range(times):
        layer.forward(bottom, top)


def _save(format_: str, labels: str = "labels", more: str = "num_test_image: 2") -> str:
    files = f'label_map_file: "{labels}" name_size_file: "sizes"'
    return f'output_directory: "out" output_name_prefix: "det_" output_format: "{format_}" {files} {more}'


def test_voc(folder: Path) -> None:
    _forward(_save("VOC"))
    assert sorted(path.name for path in (folder / "out").glob("*.txt")) == ["det_cat.txt", "det_dog.txt"]
    assert (folder / "out/det_cat.txt").read_text() == "2007_000001 0.8 20 20 100 60\n2007_000001 0.25 0 0 60 25\n"
    assert (folder / "out/det_dog.txt").read_text() == (
        "2007_000001 0.3 20 20 100 60\n2007_000001 0.123457 110 50 200 90\n000042 0.75 4 10 20 30\n"
    )


def test_ilsvrc(folder: Path) -> None:
    _forward(_save("ILSVRC"))
    assert (folder / "out/det_.txt").read_text() == (
        "2007_000001 1 0.8 20 20 100 60\n2007_000001 1 0.25 0 0 60 25\n2007_000001 2 0.3 20 20 100 60\n"
        "2007_000001 2 0.123457 110 50 200 90\n000042 2 0.75 4 10 20 30\n"
    )


def test_coco(folder: Path) -> None:
    _forward(_save("COCO", "numbers"))
    found = json.loads((folder / "out/det_.json").read_text())
    assert [(box["image_id"], box["category_id"]) for box in found] == [
        ("2007_000001", 17), ("2007_000001", 17), ("2007_000001", 18), ("2007_000001", 18), ("000042", 18),
    ]  # fmt: skip
    assert found[3]["bbox"] == [110, 50, 90, 40]
    assert found[3]["score"] == pytest.approx(float(np.float32(0.123456789)), rel=1e-8)


def test_names_of_digits_are_numbers_in_coco(folder: Path) -> None:
    (folder / "sizes").write_text("12 100 200\n7 50 40\n")
    _forward(_save("COCO"))
    found = json.loads((folder / "out/det_.json").read_text())
    assert {box["image_id"] for box in found} == {12, 7}
    assert {box["category_id"] for box in found} == {"cat", "dog"}


def test_files_come_when_all_images_are_there_and_then_anew(folder: Path) -> None:
    _forward(_save("ILSVRC", more=""))
    assert not (folder / "out").exists()
    _forward(_save("ILSVRC", more=""), 2)
    lines = (folder / "out/det_.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["2007_000001"] * 4 + ["000042"] + ["12"] * 4
    _forward(_save("ILSVRC"), 3)
    assert len((folder / "out/det_.txt").read_text().splitlines()) == 5


def test_coordinates_have_two_digits_before_they_are_cut(folder: Path) -> None:
    (folder / "sizes").write_text("a 33 33\nb 7 7\n")
    _forward(_save("ILSVRC"))
    # 33 * (0.1, 0.2, 0.5, 0.6) = 3.3, 6.6, 16.5, 19.8: 3 + 13, 6 + 13.
    assert (folder / "out/det_.txt").read_text().splitlines()[0] == "a 1 0.8 3 6 16 19"


def test_padded_images(folder: Path) -> None:
    resize = "resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 300 width: 300 }"
    _forward(_save("ILSVRC", more=f"num_test_image: 2 {resize}"))
    # An image twice as wide as high takes the half of the input in the middle.
    assert (folder / "out/det_.txt").read_text().splitlines()[0] == "2007_000001 1 0.8 20 0 100 70"


def test_what_was_in_the_folder_stays(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out/mine").write_text("x")
    _forward(_save("VOC"))
    assert (folder / "out/mine").read_text() == "x"


def test_without_a_map_of_labels_nothing_is_written(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    _forward('output_directory: "out" output_format: "VOC" name_size_file: "sizes"', 2)
    assert "writes no boxes: save_output_param has no label_map_file" in caplog.text
    _forward('output_directory: "out" output_format: "VOC" label_map_file: "labels"', 2)
    assert "has no name_size_file" in caplog.text
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("save", "told"),
    [
        ('output_directory: "out" output_format: "XML" label_map_file: "labels" name_size_file: "sizes"', "one of VOC"),
        (_save("VOC", "nowhere"), "label map cannot be used"),
        (_save("VOC", more="num_test_image: 4"), r"num_test_image must lie in 1\.\.3.* Received: 4"),
        (_save("VOC", more="num_test_image: 0"), r"num_test_image must lie in 1\.\.3"),
        (_save("VOC", more="resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD }"), "a height and a width above 0"),
        (_save("VOC", "short"), "must name every label.* label 2"),
        (_save("VOC").replace("sizes", "labels"), 'lines "name height width"'),
    ],
)
def test_what_does_not_fit_is_told(folder: Path, save: str, told: str) -> None:
    (folder / "short").write_text('item { name: "cat" label: 1 }')
    with pytest.raises(SegcaffeError, match=told):
        _forward(save)
    assert not (folder / "out").exists()


def test_names_of_labels_stay_in_the_folder(folder: Path) -> None:
    (folder / "labels").write_text('item { name: "../../cat" label: 1 } item { name: ".._.._cat" label: 2 }')
    _forward(_save("VOC"))
    assert [path.name for path in (folder / "out").glob("*.txt")] == ["det_.._.._cat.txt"]
    assert len((folder / "out/det_.._.._cat.txt").read_text().splitlines()) == 5


def test_nets_of_others_write_below_the_current_directory(folder: Path) -> None:
    with apply(Rules(anywhere=False)), pytest.raises(SegcaffeError, match="outside of the current directory"):
        _forward(_save("VOC").replace('"out"', '"../out"'))
    with apply(Rules(anywhere=False)):
        _forward(_save("VOC"))
    assert (folder / "out/det_cat.txt").exists()


def test_programs_that_predict_write_none(folder: Path) -> None:
    inputs = "".join(
        f'layer {{ name: "{n}" type: "Input" top: "{n}" input_param {{ shape {{ {d} }} }} }}'
        for n, d in {"image": "dim: 1 dim: 3 dim: 9 dim: 9", "l": "dim: 1 dim: 12", "c": "dim: 1 dim: 9",
                     "p": "dim: 1 dim: 2 dim: 12"}.items()
    )  # fmt: skip
    options = f"detection_output_param {{ num_classes: 3 save_output_param {{ {_save('VOC')} }} }}"
    layer = f'layer {{ name: "d" type: "DetectionOutput" bottom: "l" bottom: "c" bottom: "p" top: "d" {options} }}'
    (folder / "net.prototxt").write_text(f"{inputs} {layer}")
    net = read_net("net.prototxt")
    left = deploy(net).net.message.layer[-1].detection_output_param.save_output_param
    assert not left.output_directory
    assert left.label_map_file == "labels"


def test_visualizing_is_told_of_as_without_effect(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    layers = (
        'layer { name: "i" type: "Input" top: "l" top: "c" top: "p" top: "image" input_param { shape { dim: 1 dim: 12 }'
        " shape { dim: 1 dim: 9 } shape { dim: 1 dim: 2 dim: 12 } shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }"
        'layer { name: "d" type: "DetectionOutput" bottom: "l" bottom: "c" bottom: "p" bottom: "image" top: "d" '
        "detection_output_param { num_classes: 3 visualize: true visualize_threshold: 0.4 } }"
    )
    (folder / "net.prototxt").write_text(layers)
    caffe.Net("net.prototxt", caffe.TEST).forward()
    assert "without effect here: detection_output_param.visualize: true" in caplog.text
    assert DetectionOutput.written_option
