"""Detectors as users run them: boxes in pixels, pictures, COCO's results, the table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.data.annotated.label_map import Category, categories
from segcaffe.data.images import read_image
from segcaffe.errors import DataError
from segcaffe.predict.box_predictor import BoxPredictor, finds_boxes
from segcaffe.predict.box_results import DETECTIONS, BoxResults
from segcaffe.predict.loaded import Settings
from segcaffe.predict.pictures import find_pictures
from segcaffe.predict.run import predict_all
from segcaffe.recipes import ssd
from segcaffe.viz.boxes import draw_boxes
from tests.conftest import ROOT

# A cell of 4 x 4 pixels is a box of its own; its mean is the score of class 1, half of it that of class 2.
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 8 dim: 8 } }
        transform_param { scale: 0.00392156862745098 RESIZE } }
layer { name: "cells" type: "Pooling" bottom: "data" top: "cells" pooling_param { pool: AVE kernel_size: 4 stride: 4 } }
layer { name: "no" type: "Power" bottom: "cells" top: "no" power_param { scale: 0 } }
layer { name: "half" type: "Power" bottom: "cells" top: "half" power_param { scale: 0.5 } }
layer { name: "four" type: "Concat" bottom: "no" bottom: "no" bottom: "no" bottom: "no" top: "four" }
layer { name: "three" type: "Concat" bottom: "no" bottom: "cells" bottom: "half" top: "three" }
layer { name: "last4" type: "Permute" bottom: "four" top: "last4"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "last3" type: "Permute" bottom: "three" top: "last3"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "loc" type: "Flatten" bottom: "last4" top: "loc" }
layer { name: "conf" type: "Flatten" bottom: "last3" top: "conf" }
layer { name: "prior" type: "PriorBox" bottom: "cells" bottom: "data" top: "prior" prior_box_param { min_size: 4 } }
layer { name: "found" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior" top: "found"
        detection_output_param { num_classes: 3 confidence_threshold: 0.2 nms_param { nms_threshold: 0.5 } } }
"""


def write_net(folder: Path, resize: str = "", notes: str = "") -> Path:
    path = folder / "net.prototxt"
    path.write_text(notes + NET.replace("RESIZE", resize))
    return path


def scene(height: int = 16, width: int = 24) -> np.ndarray:  # type: ignore[type-arg]
    """Black, its upper right quarter white and its lower left one gray (0.25 of white)."""
    image = np.zeros((height, width, 1), np.uint8)
    image[: height // 2, width // 2 :], image[height // 2 :, : width // 2] = 255, 64
    return image


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(folder / f"{name}.png"), scene())
    return folder


def test_boxes_are_in_pixels_of_the_image_and_the_best_comes_first(tmp_path: Path) -> None:
    predictor = BoxPredictor(write_net(tmp_path), [])
    expected = [[1, 1, 12, 0, 24, 8], [2, 0.5, 12, 0, 24, 8], [1, 64 / 255, 0, 8, 12, 16]]
    np.testing.assert_allclose(predictor.answer(scene()), expected, atol=1e-5)
    assert predictor.answer(np.zeros((5, 7, 1), np.uint8)).shape == (0, 6)


def test_an_image_that_is_padded_has_its_boxes_where_they_are(tmp_path: Path) -> None:
    fit = "resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 8 width: 8 }"
    predictor = BoxPredictor(write_net(tmp_path, fit), [])
    # 32 x 16 becomes 8 x 4 in the middle of 8 x 8: its columns 2 to 5, so that each cell is half an image.
    image = np.zeros((32, 16, 1), np.uint8)
    image[16:] = 255
    found = predictor.answer(image)
    np.testing.assert_allclose(found[:2], [[1, 0.5, 0, 16, 8, 32], [1, 0.5, 8, 16, 16, 32]], atol=1e-5)
    larger = BoxPredictor(write_net(tmp_path, fit), [], Settings(size=(16, 16)))
    assert larger.answer(image).shape[1] == 6
    assert larger.input.shape == (1, 1, 16, 16)


def test_a_file_for_training_and_testing_is_a_detector_too(tmp_path: Path) -> None:
    net = tmp_path / "train_test.prototxt"
    resize = "resize_param { height: 96 width: 96 } mean_value"
    net.write_text(ssd.train_test("absent").replace("mean_value", resize, 2))
    assert finds_boxes(net, {})
    predictor = BoxPredictor(net, [], Settings(size=None), allow_partial=True)
    assert predictor.blob == "detection_out"
    assert predictor.size == (96, 96)
    assert not finds_boxes(ROOT / "configs" / "tiny" / "plain_deploy.prototxt", {})
    assert not finds_boxes(net, {}, blob="conv1")


def test_files_of_boxes(tmp_path: Path, pictures: Path) -> None:
    net = write_net(tmp_path, notes="# segcaffe.class_names: background, cat, dog\n")
    out = tmp_path / "out"
    assert main(["predict", str(net), "", str(pictures), "--out", str(out)]) == 0
    results = json.loads((out / DETECTIONS).read_text())
    assert [row["image_id"] for row in results] == ["a", "a", "a", "b", "b", "b"]
    assert results[0] == {"image_id": "a", "category_id": 1, "bbox": [12, 0, 12, 8], "score": 1}
    with (out / "detections.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1] == {"image": "a", "category_id": "2", "name": "dog", "score": "0.5", "xmin": "12.0", "ymin": "0.0",
                       "xmax": "24.0", "ymax": "8.0"}  # fmt: skip
    # Enlarged; where there is a box's edge, there is its colour.
    picture = read_image(str(out / "pictures" / "a.jpg"), True, "test")
    assert picture.shape == (320, 480, 3)
    assert np.ptp(picture[80, 241].astype(int)) > 50 > np.ptp(picture[40, 120].astype(int))


def test_what_is_done_stays_and_scores_are_a_setting(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", str(write_net(tmp_path)), "", str(pictures), "--out", str(tmp_path / "out")]
    assert main([*command, "--score", "0.3"]) == 0
    assert "2 predicted, 4 boxes" in capsys.readouterr().out
    (tmp_path / "out" / "boxes" / "a.json").unlink()
    assert main([*command, "--score", "0.3"]) == 0
    assert "1 predicted, 1 were there already, 4 boxes" in capsys.readouterr().out
    assert main(command) == 2
    assert "score" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert "2 predicted, 6 boxes" in capsys.readouterr().out
    (tmp_path / "out" / "boxes" / "a.json").write_text('[{"bbox": [1, 2], "score": 1, "category_id": 1}]')
    assert main([*command]) == 2
    assert "four numbers" in capsys.readouterr().err


def test_images_with_numbers_for_names_have_these_as_ids(tmp_path: Path, pictures: Path) -> None:
    (pictures / "a.png").rename(pictures / "000012.png")
    (pictures / "b.png").rename(pictures / "7.png")
    found = find_pictures(str(pictures))
    results = BoxResults(tmp_path / "out", {}, {1: Category(18, "dog", "Dog")}, np.zeros((256, 3), np.uint8))
    assert predict_all(BoxPredictor(write_net(tmp_path), []), found, results) == 2
    assert results.join(found) == 6
    rows = json.loads((tmp_path / "out" / DETECTIONS).read_text())
    assert {(row["image_id"], row["category_id"]) for row in rows} == {(12, 18), (12, 2), (7, 18), (7, 2)}


def test_options_of_the_other_kind_of_net_are_refused(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = str(ROOT / "configs" / "tiny" / "plain_deploy.prototxt")
    rest = [str(pictures), "--out", str(tmp_path / "out")]
    assert main(["predict", str(write_net(tmp_path)), "", *rest, "--mirror"]) == 2
    assert "--mirror is for label maps" in capsys.readouterr().err
    assert main(["predict", labels, "", *rest, "--score", "0.5"]) == 2
    assert "--score is for boxes" in capsys.readouterr().err


def test_categories_of_a_label_map(tmp_path: Path) -> None:
    path = tmp_path / "map.prototxt"
    path.write_text(
        'item { name: "none_of_the_above" label: 0 display_name: "background" } '
        'item { name: "90" label: 80 display_name: "toothbrush" }'
    )
    assert categories(path, "test") == {
        0: Category(0, "none_of_the_above", "background"),
        80: Category(90, "90", "toothbrush"),
    }
    path.write_text('item { name: "cat" label: 3 } item { name: "7" label: 4 }')
    assert categories(path, "test") == {3: Category(3, "cat", "cat"), 4: Category(4, "7", "7")}
    path.write_text("item {")
    with pytest.raises(DataError, match="label map"):
        categories(path, "test")


def test_captions_stay_in_the_picture_and_the_first_box_is_on_top() -> None:
    image = np.zeros((600, 500, 3), np.uint8)
    boxes = np.array([[0, 0, 499, 599], [0, 0, 499, 599], [490, 590, 499, 599]])
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    picture = draw_boxes(image, boxes, ["größe", "b", "a long caption"], colours)
    assert picture.shape == image.shape
    assert picture[300, 0].tolist() == [0, 0, 255]
    assert (picture == [255, 0, 0]).all(axis=2)[570:590, 380:].sum() > 400
    assert not image.any()
