"""Average precision: as pycocotools gives it, and as two slow references do."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.data.annotated.results import read_annotations, read_boxes_of_list, read_results
from segcaffe.data.files import BadItems
from segcaffe.detection.boxes import areas
from segcaffe.detection.scenes import Found, Objects
from segcaffe.errors import DataError
from segcaffe.metrics.coco import CocoFigures
from segcaffe.metrics.detection import Precision, precision_of
from segcaffe.metrics.detection_report import DetectionReport
from tests.metrics import detection_data

# Of pycocotools 2.0.10: AP, AP50, AP75 of each class, and of all.
RECORDED = {
    1: (0.29716265364018984, 0.5758618321110797, 0.22008926594896774),
    3: (0.23946132130974962, 0.4742753996040958, 0.16550507221829402),
    18: (0.2577293954147194, 0.4897851717524461, 0.24599433654048689),
}
MEANS = (0.2647844567882196, 0.5133074678225406, 0.2105295582359162)
# All twelve figures of each class, and of all, for objects of all sizes.
RECORDED_SIZED = {
    "mean": (
        0.26211760829555986, 0.34099590151755704, 0.2925490510939872, 0.1537168002514537, 0.24129268582966895,
        0.40035487614695536, 0.3155788655788656, 0.48527583527583523, 0.48805361305361306, 0.1861111111111111,
        0.44587301587301587, 0.5681818181818181,
    ),
    "class 1": (
        0.14988259421605865, 0.19827624960627765, 0.17557596608467216, 0.0024045261669024044, 0.1931094867643468,
        0.18607260726072605, 0.21666666666666665, 0.41666666666666663, 0.425, 0.03333333333333333, 0.4149999999999999,
        0.475,
    ),
    "class 3": (
        0.2648346006718828, 0.34892807727752295, 0.30929604011736406, 0.18019801980198016, 0.21591254261172724,
        0.39700522250027204, 0.33461538461538465, 0.48461538461538456, 0.48461538461538456, 0.175, 0.4142857142857143,
        0.5545454545454545,
    ),
    "class 18": (
        0.371635629998738, 0.4757833776688705, 0.3927751470799253, 0.27854785478547855, 0.31485602811293273,
        0.6179867986798679, 0.39545454545454545, 0.5545454545454545, 0.5545454545454545, 0.35, 0.5083333333333334,
        0.675,
    ),
}  # fmt: skip
Row = dict[str, Any]


def report(folder: Path) -> DetectionReport:
    annotations, results = detection_data.write(folder)
    truth = read_annotations(annotations)
    return DetectionReport.of(truth.names, read_results(results, truth), truth.objects)


def corners(row: Row) -> tuple[float, float, float, float]:
    x, y, width, height = row["bbox"]
    return x, y, x + width, y + height


def overlap(first: Row, second: Row, border: float, crowd: bool = False) -> float:
    a, b = corners(first), corners(second)
    width = min(a[2], b[2]) - max(a[0], b[0]) + border
    height = min(a[3], b[3]) - max(a[1], b[1]) + border
    if width <= 0 or height <= 0:
        return 0
    areas = [(box[2] - box[0] + border) * (box[3] - box[1] + border) for box in (a, b)]
    return width * height / (areas[0] if crowd else sum(areas) - width * height)


def voc_reference(annotations: list[Row], results: list[Row], label: int) -> tuple[float, float]:
    """As VOC's devkit: all detections by score, each with the object that it overlaps with most."""
    wanted = [row for row in annotations if row["category_id"] == label]
    found = sorted((row for row in results if row["category_id"] == label), key=lambda row: -row["score"])
    positives, taken, curve, right, wrong = sum(not row["iscrowd"] for row in wanted), set(), [], 0, 0
    for row in found:
        own = [one for one in wanted if one["image_id"] == row["image_id"]]
        best = max(own, key=lambda one: overlap(row, one, 1), default=None)
        if best is not None and overlap(row, best, 1) >= 0.5:
            if best["iscrowd"]:
                continue
            right, wrong = (right, wrong + 1) if best["id"] in taken else (right + 1, wrong)
            taken.add(best["id"])
        else:
            wrong += 1
        curve.append((right / positives, right / (right + wrong)))
    eleven = sum(max([p for r, p in curve if r >= i / 10], default=0) for i in range(11)) / 11
    area, before = 0.0, 0.0
    for recall, _ in curve:
        area += (recall - before) * max(p for r, p in curve if r >= recall)
        before = recall
    return eleven, area


def coco_reference(annotations: list[Row], results: list[Row], label: int, least: float) -> float:
    """The description of COCO's evaluation, step by step, at one threshold."""
    judged: list[tuple[float, bool]] = []
    for image in sorted({row["image_id"] for row in annotations + results}):
        wanted = [row for row in annotations if row["category_id"] == label and row["image_id"] == image]
        found = [row for row in results if row["category_id"] == label and row["image_id"] == image]
        taken = set()
        for row in sorted(found, key=lambda row: -row["score"])[:100]:
            choice = None
            for crowd in (False, True):
                fits = [one for one in wanted if one["iscrowd"] == crowd and (crowd or one["id"] not in taken)]
                fits = [one for one in fits if overlap(row, one, 0, crowd) >= least]
                choice = choice or max(reversed(fits), key=lambda one: overlap(row, one, 0, crowd), default=None)
            if choice is None or not choice["iscrowd"]:
                judged.append((row["score"], choice is not None))
                taken.add(choice["id"] if choice else None)
    judged.sort(key=lambda pair: -pair[0])
    positives = sum(row["category_id"] == label and not row["iscrowd"] for row in annotations)
    hits = np.cumsum([right for _, right in judged])
    curve = [(hit / positives, hit / (i + 1)) for i, hit in enumerate(hits)]
    return sum(max([p for r, p in curve if r >= recall], default=0) for recall in np.linspace(0, 1, 101)) / 101


def test_coco_as_pycocotools_has_it(tmp_path: Path) -> None:
    found = report(tmp_path)
    for label, expected in RECORDED.items():
        own = found.classes[f"class {label}"]
        assert own.coco[:3] == pytest.approx(expected, abs=1e-12)
    means = found.means()
    assert (means["coco"], means["coco_50"], means["coco_75"]) == pytest.approx(MEANS, abs=1e-12)
    # A class that is nowhere to be found has no precision, and no part in the mean.
    assert all(map(math.isnan, found.classes["class 44"].coco))
    assert found.classes["class 44"].found > 0
    assert json.loads(found.json())["classes"][3]["voc_area"] is None


def test_all_figures_as_pycocotools_has_them(tmp_path: Path) -> None:
    annotations, results = detection_data.write(tmp_path, sized=True)
    truth = read_annotations(annotations)
    found = DetectionReport.of(truth.names, read_results(results, truth), truth.objects)
    for name, expected in RECORDED_SIZED.items():
        own = found.means() if name == "mean" else found.classes[name].figures()
        assert [own[key] for key in CocoFigures._fields] == pytest.approx(expected, abs=1e-12)
    table = found.text().splitlines()
    assert (
        " ".join(table[7].split()) == "class AP small AP medium AP large AR 1 AR 10 AR 100 AR small AR medium AR large"
    )
    assert " ".join(table[8].split()) == "class 1 0.24 19.31 18.61 21.67 41.67 42.50 3.33 41.50 47.50"


def test_objects_without_an_area_have_that_of_their_box(tmp_path: Path) -> None:
    content, _ = detection_data.make_sized()
    for one in content["annotations"]:
        del one["area"]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    sides = {one["bbox"][2] * one["bbox"][3] for one in content["annotations"]}
    assert set(np.concatenate([own.areas for own in read_annotations(path).objects]).tolist()) == sides
    content["annotations"][0]["area"] = "large"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"COCO annotations are .*'large'"):
        read_annotations(path)


def test_slow_references(tmp_path: Path) -> None:
    found = report(tmp_path)
    annotations, results = detection_data.make()
    for label in RECORDED:
        own, rows = found.classes[f"class {label}"], annotations["annotations"]
        assert (own.voc_11_point, own.voc_area) == pytest.approx(voc_reference(rows, results, label))
        references = [coco_reference(rows, results, label, least) for least in np.linspace(0.5, 0.95, 10)]
        assert own.coco[:3] == pytest.approx((np.mean(references), references[0], references[5]))


def one(boxes: list[list[float]], scores: list[float]) -> Found:
    corners = np.array(boxes, float).reshape(-1, 4)
    return Found(np.ones(len(boxes), int), np.array(scores), corners, areas(corners))


def there(boxes: list[list[float]], difficult: list[bool]) -> Objects:
    marks, corners = np.array(difficult, bool), np.array(boxes, float).reshape(-1, 4)
    return Objects(np.ones(len(boxes), int), corners, marks, np.zeros_like(marks), areas(corners))


def main_figures(own: Precision) -> tuple[float, ...]:
    """VOC's, and COCO's of all sizes."""
    return own.voc_11_point, own.voc_area, *own.coco[:3]


def test_difficult_objects_and_images_without_any() -> None:
    truth = [there([[0, 0, 9, 9], [20, 20, 29, 29]], [False, True]), there([], [])]
    right = precision_of(1, [one([[0, 0, 9, 9], [20, 20, 29, 29]], [0.5, 0.9]), one([], [])], truth)
    assert main_figures(right) == pytest.approx((1,) * 5)
    assert (right.objects, right.found) == (1, 2)
    late = precision_of(1, [one([[0, 0, 9, 9]], [0.5]), one([[0, 0, 9, 9]], [0.9])], truth)
    assert main_figures(late) == pytest.approx((0.5,) * 5)
    nothing = precision_of(1, [one([], []), one([], [])], truth)
    assert main_figures(nothing) == (0, 0, 0, 0, 0)
    # Pixels that belong to their boxes make VOC's overlap 5 * 10 of 100, without them 4 * 9 of 81.
    half = precision_of(1, [one([[0, 0, 9, 4]], [1]), one([], [])], truth)
    assert (half.voc_area, half.coco.coco_50) == (1, 0)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("[", "COCO results"),
        ("[" * 20000, "nested too deep"),
        ('{"a": 1}', "COCO results"),
        ('[{"image_id": 100, "category_id": 1, "score": 1}]', "bbox"),
        ('[{"image_id": 100, "category_id": "dog", "bbox": [1, 2, 3, 4], "score": 1}]', "dog"),
        ('[{"image_id": 100, "category_id": 1, "bbox": [1, 2, -3, 4], "score": 1}]', "width"),
        ('[{"image_id": 100, "category_id": 1, "bbox": [1, 2, 3], "score": 1}]', "COCO results"),
        ('[{"image_id": 100, "category_id": 1, "bbox": [1, 2, 3, 4], "score": NaN}]', "no number"),
        ('[{"image_id": 99, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', 'image_id "99" is none of the 40'),
    ],
)
def test_results_that_are_none(tmp_path: Path, content: str, word: str) -> None:
    annotations, results = detection_data.write(tmp_path)
    truth = read_annotations(annotations)
    results.write_text(content)
    with pytest.raises(DataError, match=word):
        read_results(results, truth)


def test_images_are_known_by_id_and_by_name(tmp_path: Path) -> None:
    annotations, results = detection_data.write(tmp_path)
    truth = read_annotations(annotations)
    rows = [{"image_id": name, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1} for name in (107, "0001", "107")]
    results.write_text(json.dumps(rows))
    assert [len(own.labels) for own in read_results(results, truth)[:3]] == [0, 3, 0]
    annotations.write_text('{"images": [{"id": 1}], "annotations": [{"image_id": 2}], "categories": []}')
    with pytest.raises(DataError, match="COCO annotations"):
        read_annotations(annotations)


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Images 007 and b, both with an object; results that find the first alone."""
    (tmp_path / "007.txt").write_text("3 0 0 10 10\n")
    (tmp_path / "b.xml").write_text(
        "<annotation><object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        "</object></annotation>"
    )
    (tmp_path / "list.txt").write_text("images/007.jpg 007.txt\nimages/b.jpg b.xml\n")
    (tmp_path / "map.prototxt").write_text('item { name: "cat" label: 3 }')
    row = {"image_id": 7, "category_id": 3, "bbox": [0, 0, 10, 10], "score": 0.9}
    (tmp_path / "detections.json").write_text(json.dumps([row]))
    return tmp_path


def test_a_list_of_boxes(listed: Path) -> None:
    truth = read_boxes_of_list(str(listed / "list.txt"), f"{listed}/", {"cat": 3}, {3: 18})
    assert truth.index == {"007": 0, "7": 0, "b": 1}
    assert truth.names == {18: "cat"}
    assert [own.labels.tolist() for own in truth.objects] == [[18], [18]]
    (listed / "list.txt").write_text("images/007.jpg\nimages/b.jpg b.xml\n")
    with pytest.raises(DataError, match="image file and a file of its boxes"):
        read_boxes_of_list(str(listed / "list.txt"), f"{listed}/", {"cat": 3}, {})
    bad = BadItems(1)
    assert len(read_boxes_of_list(str(listed / "list.txt"), f"{listed}/", {"cat": 3}, {}, bad).objects) == 1
    assert len(bad.errors) == 1
    (listed / "list.txt").write_text("x/b.jpg b.xml\ny/b.jpg b.xml\n")
    with pytest.raises(DataError, match="two images of one name"):
        read_boxes_of_list(str(listed / "list.txt"), f"{listed}/", {"cat": 3}, {})


def test_the_command(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["eval", "--detection", str(listed), str(listed / "list.txt"), "--root", f"{listed}/"]
    assert main(command) == 2
    assert "--label_map_file" in capsys.readouterr().err
    assert (
        main([*command, "--label_map_file", str(listed / "map.prototxt"), "--json", str(listed / "scores.json")]) == 0
    )
    assert "cat          2        1" in capsys.readouterr().out
    scores = json.loads((listed / "scores.json").read_text())
    # Every point of recall up to a half: 6 of 11, 51 of 101.
    half, recalls = 51 / 101, {f"recall_{name}": 0.5 for name in (1, 10, 100, "small")}
    precisions = dict.fromkeys(("coco", "coco_50", "coco_75", "coco_small"), half)
    missing = {f"{name}_{size}": None for name in ("coco", "recall") for size in ("medium", "large")}
    assert scores["mean"] == pytest.approx(
        {"voc_11_point": 6 / 11, "voc_area": 0.5, **precisions, **recalls, **missing}
    )
    (listed / "predict.json").write_text(json.dumps({"categories": {"3": "cat"}}))
    assert main([*command, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == scores
    for option in ("--trimap=3", "--plots=plots"):
        assert main([*command, option]) == 2
        assert "leave it out" in capsys.readouterr().err
    assert main([*command[:1], *command[2:], "--label_map_file", "x"]) == 2
    assert "--label_map_file is for boxes" in capsys.readouterr().err
