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
from segcaffe.errors import DataError, GraphError
from segcaffe.predict.box_predictor import BoxPredictor
from segcaffe.predict.box_results import DETECTIONS, BoxResults
from segcaffe.predict.kinds import predictor_class
from segcaffe.predict.loaded import Settings
from segcaffe.predict.pictures import find_pictures
from segcaffe.predict.predictor import Predictor
from segcaffe.predict.region_predictor import RegionPredictor
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
    assert predictor_class(net, {}) is BoxPredictor
    predictor = BoxPredictor(net, [], Settings(size=None), allow_partial=True)
    assert predictor.blob == "detection_out"
    assert predictor.size == (96, 96)
    assert predictor_class(ROOT / "configs" / "tiny" / "plain_deploy.prototxt", {}) is Predictor
    assert predictor_class(net, {}, blob="conv1") is Predictor


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
    assert "four numbers" in " ".join(capsys.readouterr().err.split())


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


# Proposals of a grid of cells of 16 pixels: the anchors where "objects" is high; each class has moves of its own.
REGIONS = """
input: "data" input_shape { dim: 1 dim: 1 dim: 32 dim: 32 } input: "im_info" input_shape { dim: 1 dim: 3 }
layer { name: "cells" type: "Pooling" bottom: "data" top: "cells"
        pooling_param { pool: AVE kernel_size: 16 stride: 16 } }
layer { name: "no" type: "Power" bottom: "cells" top: "no" power_param { scale: 0 } }
layer { name: "objects" type: "Concat" bottom: "no" bottom: "cells" top: "objects" }
layer { name: "moves" type: "Concat" bottom: "no" bottom: "no" bottom: "no" bottom: "no" top: "moves" }
PROPOSAL
layer { name: "pool" type: "ROIPooling" bottom: "cells" bottom: "rois" top: "pool"
        roi_pooling_param { pooled_h: 1 pooled_w: 1 spatial_scale: 0.0625 } }
layer { name: "scores" type: "InnerProduct" bottom: "pool" top: "scores" inner_product_param { num_output: 3 } }
layer { name: "bbox_pred" type: "InnerProduct" bottom: "pool" top: "bbox_pred"
        inner_product_param { num_output: MOVES } }
"""
PROPOSAL = """layer { name: "rois" type: "Proposal" bottom: "objects" bottom: "moves" bottom: "im_info" top: "rois"
  proposal_param { feat_stride: 16 base_size: 16 min_size: 4 ratio: 1 scale: 1 pre_nms_topn: 4 post_nms_topn: 4
                   nms_thresh: 0.7 } }"""
PYTHON = """
layer { name: "three" type: "Concat" bottom: "no" bottom: "no" bottom: "no" bottom: "cells" bottom: "cells"
        bottom: "cells" top: "three" }
layer { name: "twelve" type: "Concat" bottom: "moves" bottom: "moves" bottom: "moves" top: "twelve" }
layer { name: "rois" type: "Python" bottom: "three" bottom: "twelve" bottom: "im_info" top: "rois"
  python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "{'feat_stride': 16, 'scales': (2,)}" }
}"""


def regions_net(folder: Path, moves: int, proposal: str = PROPOSAL) -> RegionPredictor:
    path = folder / "rcnn.prototxt"
    path.write_text(REGIONS.replace("MOVES", str(moves)).replace("PROPOSAL", proposal))
    assert predictor_class(path, {}) is RegionPredictor
    predictor = RegionPredictor(path, [], Settings(size=(32, 64), scale=1 / 255), allow_partial=True)
    weights, bias = predictor.net.params["scores"]
    weights.data[:, 0], bias.data[...] = (0, 1, 0.5), 0
    weights, bias = predictor.net.params["bbox_pred"]
    # Class 2 lies half a width further to the right, and is twice as high.
    weights.data[...], bias.data[...] = 0, 0
    bias.data[-4:] = 0.5, 0, 0, np.log(2)
    return predictor


def regions_reference(predictor: RegionPredictor, factor: float, height: int, width: int) -> list[list[float]]:
    """As py-faster-rcnn's test does it, from the net's blobs, box by box."""
    blobs = predictor.net.blobs
    rois, scores, moves = (blobs[name].data.astype(float) for name in ("rois", "scores", "bbox_pred"))
    found = []
    for label in range(1, scores.shape[1]):
        rows = []
        for roi, score, move in zip(rois[:, 1:] / factor, scores[:, label], moves[:, 4 * label :], strict=True):
            w, h = roi[2] - roi[0] + 1, roi[3] - roi[1] + 1
            x, y = roi[0] + w / 2 + move[0] * w, roi[1] + h / 2 + move[1] * h
            w, h = np.exp(move[2]) * w, np.exp(move[3]) * h
            ends = (x - w / 2, width), (y - h / 2, height), (x + w / 2, width), (y + h / 2, height)
            rows.append([label, score, *(min(max(value, 0), most - 1) for value, most in ends)])
        kept: list[list[float]] = []
        for row in sorted(rows, key=lambda row: -row[1]):
            if row[1] > 0.05 and all(pixel_overlap(row[2:], other[2:]) <= 0.3 for other in kept):
                kept.append(row)
        found += [[*row[:4], row[4] + 1, row[5] + 1] for row in kept]
    return sorted(found, key=lambda row: -row[1])


def pixel_overlap(a: list[float], b: list[float]) -> float:
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1) * max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    return shared / (sum((c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)) - shared)


def test_regions_become_boxes(tmp_path: Path) -> None:
    predictor = regions_net(tmp_path, 12)
    image = np.zeros((16, 16, 1), np.uint8)
    image[8:, :8] = 255
    found = predictor.answer(image)
    # Twice as large in the net. The moves of each step make a box wider by a pixel, as they do in py-faster-rcnn.
    np.testing.assert_allclose(found, regions_reference(predictor, 2, 16, 16), atol=1e-5)
    np.testing.assert_allclose(found[0], [1, 0.97, 0, 8, 10, 16], atol=0.01)
    assert predictor.net.blobs["im_info"].data.tolist() == [[32, 32, 2]]
    # The longer side would come above 64.
    found = predictor.answer(np.full((10, 40, 1), 255, np.uint8))
    np.testing.assert_allclose(predictor.net.blobs["im_info"].data, [[16, 64, 1.6]])
    np.testing.assert_allclose(found, regions_reference(predictor, 1.6, 10, 40), atol=1e-5)
    assert len(found)


def test_regions_of_the_python_layer(tmp_path: Path) -> None:
    image = np.zeros((32, 64, 1), np.uint8)
    image[8:24, 40:] = 255
    predictor = regions_net(tmp_path, 12, PYTHON)
    found = predictor.answer(image)
    np.testing.assert_allclose(found, regions_reference(predictor, 1, 32, 64), atol=1e-5)
    assert len(found)


def test_regions_of_moves_for_all_classes_and_other_outputs(tmp_path: Path) -> None:
    image = np.zeros((32, 32, 1), np.uint8)
    image[16:, :16] = 255
    found = regions_net(tmp_path, 8).answer(image)
    np.testing.assert_allclose(found[:2, 2:], np.tile(found[0, 2:], (2, 1)))
    assert found[:2, 0].tolist() == [1, 2]
    with pytest.raises(GraphError, match=r"moves of boxes .* bbox_pred \(\d, 10\), scores \(\d, 3\)"):
        regions_net(tmp_path, 10).answer(image)


def test_yolo_gives_boxes_too(tmp_path: Path) -> None:
    path = tmp_path / "yolo.prototxt"
    path.write_text(
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }'
        'layer { name: "grid" type: "Convolution" bottom: "data" top: "grid" convolution_param { num_output: 14 '
        "kernel_size: 16 stride: 16 bias_filler { value: 1 } } }"
        'layer { name: "found" type: "YoloDetectionOutput" bottom: "grid" top: "found" yolo_detection_output_param { '
        "num_classes: 2 num_box: 2 confidence_threshold: 0.1 biases: 1 biases: 1 biases: 0.5 biases: 0.5 } }"
    )
    assert predictor_class(path, {}) is BoxPredictor
    found = BoxPredictor(path, [], allow_partial=True).answer(np.zeros((40, 60, 3), np.uint8))
    assert len(found)
    assert set(found[:, 0]) <= {1, 2}
    assert (found[:, 2:] <= [60, 40, 60, 40]).all()
