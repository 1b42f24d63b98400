"""MS COCO in miniature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.data.coco import CROWD, draw, import_coco
from segcaffe.data.label_files import read_labels
from segcaffe.errors import DataError
from tests.data.miniatures import make_coco


def square(category: int, low: int, high: int) -> dict[str, Any]:
    ring = [low, low, high, low, high, high, low, high]
    return {"category_id": category, "area": (high - low) ** 2, "segmentation": [ring], "iscrowd": 0}


def test_smaller_objects_lie_over_larger_ones_and_all_over_crowds() -> None:
    crowd = {"category_id": 1, "area": 1, "iscrowd": 1, "segmentation": {"counts": [0, 8, 8], "size": [4, 4]}}
    label = draw(4, 4, [square(44, 1, 2), square(3, 1, 3), crowd])
    expected = np.zeros((4, 4))
    expected[:, :2] = CROWD  # runs go down the columns
    expected[1:4, 1:4] = 3
    expected[1:3, 1:3] = 44
    np.testing.assert_array_equal(label, expected)


def test_lists_and_label_maps(tmp_path: Path) -> None:
    folder, out = make_coco(tmp_path / "MSCOCO"), tmp_path / "lists"
    written = import_coco(folder, out)
    assert [path.name for path in written[::2]] == ["coco_train.txt", "coco_val.txt", "coco_trainval.txt"]
    train, val = ((out / f"coco_{split}.txt").read_text() for split in ("train", "val"))
    assert (out / "coco_trainval.txt").read_text() == train + val
    image, label = train.splitlines()[0].split()
    assert Path(f"{folder}{image}").is_file()
    assert (out / "coco_train_id.txt").read_text().splitlines()[0] == Path(image).stem
    assert set(np.unique(read_labels(Path(f"{folder}{label}"), "test"))) == {0, 18}


def test_label_maps_that_are_there_are_kept(tmp_path: Path) -> None:
    folder = make_coco(tmp_path / "MSCOCO")
    import_coco(folder, tmp_path / "lists")
    label = next((folder / "labels").rglob("*.png"))
    before = label.stat().st_mtime_ns
    import_coco(folder, tmp_path / "lists")
    assert label.stat().st_mtime_ns == before


def test_two_years(tmp_path: Path) -> None:
    folder = make_coco(tmp_path / "MSCOCO")
    make_coco(folder, "2017")
    with pytest.raises(DataError, match="2014 and 2017; choose with --year"):
        import_coco(folder, tmp_path / "lists")
    assert main(["data", "import-coco", str(folder), str(tmp_path / "lists"), "--year", "2017"]) == 0
    assert "/train2017/" in (tmp_path / "lists/coco_train.txt").read_text()


def test_folders_and_files_that_are_something_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="annotations/instances_"):
        import_coco(tmp_path, tmp_path / "lists")
    folder = make_coco(tmp_path / "MSCOCO")
    annotations = folder / "annotations/instances_train2014.json"
    content = json.loads(annotations.read_text())
    content["annotations"][0]["segmentation"] = {"counts": "abc", "size": [60, 80]}
    annotations.write_text(json.dumps(content))
    with pytest.raises(DataError, match="runs are compressed"):
        import_coco(folder, tmp_path / "lists")
    annotations.write_text("[]")
    with pytest.raises(DataError, match="must hold images and annotations"):
        import_coco(folder, tmp_path / "lists")
    next((folder / "val2014").iterdir()).unlink()
    annotations.write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(DataError, match="does not exist"):
        import_coco(folder, tmp_path / "lists")
