"""Files of boxes, label maps, and databases made of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.data.annotated.box_files import READERS, Mark
from segcaffe.data.annotated.label_map import display_names, read_label_map
from segcaffe.data.box_scenes import make_box_scene, write_box_set
from segcaffe.data.database import Database
from segcaffe.errors import DataError
from segcaffe.proto.caffe_pb2 import AnnotatedDatum, DataParameter

LABELS = {"background": 0, "disc": 1, "18": 2}
XML = """<annotation><size><width>20</width><height>10</height><depth>3</depth></size>
<object><name>disc</name><difficult>1</difficult>
<bndbox><xmin>2</xmin><ymin>1.5</ymin><xmax>12</xmax><ymax>9</ymax></bndbox>
<part><name>hand</name><bndbox><xmin>3</xmin></bndbox></part></object>
<object><bndbox><ymax>5</ymax><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax></bndbox><name> 18 </name></object>
</annotation>"""
JSON = json.dumps(
    {
        "image": {"height": 10, "width": 20},
        "annotation": [
            {"bbox": [2, 1.5, 10, 7.5], "category_id": "disc", "iscrowd": 1},
            {"bbox": [1, 1, 3, 4], "category_id": 18},
        ],
    }
)
MARKS = [Mark(1, (2, 1.5, 12, 9), True), Mark(2, (1, 1, 4, 5))]


def test_the_same_boxes_from_every_kind_of_file() -> None:
    assert READERS[".xml"](XML.encode(), LABELS, "x") == ((10, 20), MARKS)
    assert READERS[".json"](JSON.encode(), LABELS, "x") == ((10, 20), MARKS)
    size, marks = READERS[".txt"](b"1 2 1.5 12 9\n\n2 1 1 4 5\n", LABELS, "x")
    assert size is None
    assert [mark.box for mark in marks] == [mark.box for mark in MARKS]


@pytest.mark.parametrize(
    ("suffix", "content", "sentence"),
    [
        (".xml", "<annotation>", "is no XML"),
        (".xml", "<!DOCTYPE a []><annotation/>", "must not declare types"),
        (".xml", "<a><object><name>cat</name></object></a>", '"cat" is no name of the label map. It has: background'),
        (".xml", "<a><object><name>disc</name></object></a>", "needs a bndbox"),
        (".xml", XML.replace("<xmin>2<", "<xmin>two<"), 'xmin must be a number of pixels. Received: "two"'),
        (".xml", XML.replace("<xmin>2<", "<xmin>1e99<"), "xmin must be a number"),
        (".xml", XML.replace("<width>20<", "<width>nan<"), "width must be a number"),
        (".json", "[1]", "annotation in JSON must be"),
        (".json", '{"annotation": [{"bbox": [1], "category_id": 18}]}', "annotation in JSON must be"),
        (".json", '{"annotation": [{"bbox": [1, 2, 3, 4], "category_id": 3}]}', '"3" is no name'),
        (".txt", "1 2 3 4", 'line 1 must be "label xmin'),
        (".txt", "\n7 2 3 4 5", "line 2 must be"),
        (".txt", "1 2 3 4 x", 'ymax must be a number of pixels. Received: "x"'),
    ],
)
def test_what_is_no_annotation(suffix: str, content: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        READERS[suffix](content.encode(), LABELS, "list.txt:1")


def test_label_maps(tmp_path: Path) -> None:
    path = tmp_path / "map.prototxt"
    path.write_text('item { name: "dog" label: 3 display_name: "Dog" } item { name: "cat" label: 4 }')
    assert read_label_map(path, "x") == {"dog": 3, "cat": 4}
    assert display_names(path, "x") == {3: "Dog", 4: "cat"}
    for text, sentence in {
        'item { name: "a" label: 1 } item { name: "a" label: 2 }': '"a", 2 again',
        'item { name: "a" label: 1 } item { name: "b" label: 1 }': '"b", 1 again',
        "": "the file is empty",
        "# nothing": "names no label",
        "items { }": "map.prototxt:1:1",
    }.items():
        path.write_text(text)
        with pytest.raises(DataError, match=sentence):
            read_label_map(path, "x")
    with pytest.raises(DataError, match="absent"):
        read_label_map(tmp_path / "absent", "x")


def test_scenes_with_boxes_become_a_database(tmp_path: Path) -> None:
    """The boxes are those of the pixels; everything comes from the seed."""
    write_box_set(tmp_path, train=5, test=2, size=64, seed=3)
    image, objects = make_box_scene(np.random.default_rng(3), 64)
    root, out = f"{tmp_path}/", tmp_path / "db"
    command = ["data", "make-annotated-db", root, f"{root}train.txt", str(out)]
    assert main([*command, "--label_map_file", f"{root}labelmap.prototxt", "--encoded"]) == 0
    database = Database(str(out), DataParameter.LMDB, "test")
    assert database.count() == 5
    message = AnnotatedDatum.FromString(database.item(0, 0))
    assert message.datum.encoded
    marks = [(group.group_label, mark) for group in message.annotation_group for mark in group.annotation]
    found = {(label, *_pixels(mark.bbox)) for label, mark in marks}
    assert found == {(label, *box) for label, box in objects}
    for _, (left, top, right, bottom) in objects:
        inside = image[top:bottom, left:right].astype(float)
        assert inside.shape[0] > 8
        assert inside.std() > 5


def _pixels(box: object) -> tuple[int, ...]:
    return tuple(round(getattr(box, key) * 64) for key in ("xmin", "ymin", "xmax", "ymax"))


def test_lines_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_box_set(tmp_path, train=2, test=1, size=64, seed=0)
    lines = (tmp_path / "train.txt").read_text()
    bad = "images/train_0000.png\nimages/train_0000.png boxes/absent.xml\nimages/train_0000.png boxes.csv\n"
    (tmp_path / "list.txt").write_text(bad + lines)
    root = f"{tmp_path}/"
    command = ["data", "make-annotated-db", root, f"{root}list.txt", f"{root}db"]
    command += ["--label_map_file", f"{root}labelmap.prototxt"]
    assert main(command) == 2
    assert "a line must hold an image file and a file of its boxes" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "db").exists()
    assert main([*command, "--skip-bad", "3"]) == 0
    told = capsys.readouterr()
    assert "2 items" in told.out
    assert "boxes are read from .xml, .json, .txt files" in " ".join(told.err.split())


def test_boxes_reach_no_further_than_the_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_box_set(tmp_path, train=1, test=1, size=64, seed=0)
    (tmp_path / "boxes" / "train_0000.txt").write_text("1 -5 10 30 90\n2 70 10 90 20\n")
    (tmp_path / "train.txt").write_text("images/train_0000.png boxes/train_0000.txt\n")
    root = f"{tmp_path}/"
    command = ["data", "make-annotated-db", root, f"{root}train.txt", f"{root}db"]
    assert main([*command, "--label_map_file", f"{root}labelmap.prototxt"]) == 0
    message = AnnotatedDatum.FromString(Database(f"{root}db", DataParameter.LMDB, "test").item(0, 0))
    (box,) = (mark.bbox for group in message.annotation_group for mark in group.annotation)
    assert (box.xmin, box.ymax) == (0, 1)
    assert "without any area inside the image" in caplog.text
