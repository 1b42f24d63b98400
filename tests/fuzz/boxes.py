"""What detectors learn from: files of boxes, names of labels, databases of images with boxes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from segcaffe.cli.eval_boxes import recorded_labels
from segcaffe.data.annotated.boxed import read_boxed
from segcaffe.data.annotated.convert import Annotating, make_annotated_database
from segcaffe.data.annotated.label_map import display_names, read_label_map
from segcaffe.data.annotated.regions import read_regions
from segcaffe.data.annotated.results import read_annotations, read_results
from segcaffe.data.convert_images import Conversion
from segcaffe.data.lists import read_list
from segcaffe.layers.detection.name_sizes import read_name_sizes
from segcaffe.metrics.detection_report import DetectionReport
from segcaffe.predict.box_results import read_rows
from segcaffe.predict.result_folder import SETTINGS
from segcaffe.proto.caffe_pb2 import AnnotatedDatum, LabelMap
from tests.fuzz import structure
from tests.fuzz.data import _all_files
from tests.fuzz.kinds import Files, Kind, single
from tests.fuzz.mutate import BINARY, TEXT
from tests.fuzz.nets import _of_message
from tests.metrics import detection_data

_XML = b"""<annotation><size><width>9</width><height>7</height><depth>3</depth></size>
<object><name>dog</name><difficult>1</difficult>
<bndbox><xmin>1</xmin><ymin>2.5</ymin><xmax>5</xmax><ymax>6</ymax></bndbox></object></annotation>"""
_LABELS = b"""
item { name: "none_of_the_above" label: 0 display_name: "background" }
item { name: "dog" label: 1 display_name: "a dog" }
item { name: "18" label: 2 }
"""


def _lists() -> list[Files]:
    annotation = [{"bbox": [1, 1, 5.5, 4], "category_id": 18, "iscrowd": 0}]
    marks = {"xml": _XML, "json": json.dumps({"image": {"height": 7, "width": 9}, "annotation": annotation}).encode(),
             "txt": b"1 1 2 5 6\n2 0 0 3.5 3\n"}  # fmt: skip
    image = _all_files()["image0.png"]
    return [
        {"list.txt": f"a.png marks.{kind}\n".encode(), "a.png": image, f"marks.{kind}": content, "labels": _LABELS}
        for kind, content in marks.items()
    ]


def _convert(folder: Path) -> None:
    annotating = Annotating(Conversion(root=""), read_label_map("labels", "example"))
    make_annotated_database(read_list("list.txt", "example"), folder / "db", annotating)


def _datums() -> list[Files]:
    message = AnnotatedDatum(type=AnnotatedDatum.BBOX)
    message.datum.encoded, message.datum.data = True, _all_files()["image0.png"]
    group = message.annotation_group.add(group_label=1)
    mark = group.annotation.add(instance_id=0).bbox
    mark.xmin, mark.ymin, mark.xmax, mark.ymax = 0.1, 0.2, 0.5, 0.9
    return [{"datum": message.SerializeToString()}]


def _scores() -> list[Files]:
    """COCO's annotations and results; boxes of one image, as `predict` leaves them, and what it notes beside them."""
    annotations, results = detection_data.make()
    few = {**annotations, "images": annotations["images"][:3], "annotations": annotations["annotations"][:5]}
    few["annotations"] = [{**one, "image_id": 100} for one in few["annotations"]]
    rows = [{**row, "image_id": 100} for row in results[:4]]
    record = {"categories": {"1": "cat", "18": "dog"}}
    contents = {"truth.json": few, "results.json": rows, "boxes/a.json": rows, SETTINGS: record}
    return [{name: json.dumps(content).encode() for name, content in contents.items()}]


def _score(folder: Path) -> None:
    truth = read_annotations(folder / "truth.json")
    DetectionReport.of(truth.names, read_results(folder / "results.json", truth), truth.objects).json()
    read_rows(folder / "boxes/a.json")
    recorded_labels(folder)


def _read_names(folder: Path) -> None:
    read_label_map(folder / "labels", "example")
    display_names(folder / "labels", "example")


def _regions() -> list[Files]:
    """Regions of images in all forms."""
    array = io.BytesIO()
    np.save(array, np.array([[1.0, 2, 3, 4], [0, 0, 9, 9]]))
    rows = [{"image_id": 7, "bbox": [1, 2, 3, 4]}, {"image_id": "a", "bbox": [1, 2.5, 3, 4]}]
    own = {"a": [[1, 2, 3, 4]], "b": []}
    jsons = [json.dumps(content).encode() for content in (rows, own, [[1, 2, 3, 4]])]
    table = b"image,xmin,ymin,xmax,ymax\na.jpg,1,2,3,4\n7,1,2,3,4.5\n"
    return [{"x.npy": array.getvalue()}, *({"x.json": content} for content in jsons), {"x.csv": table}]


def _read_all_regions(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        read_regions(path)


KINDS = {
    "regions of images": Kind(_regions, _read_all_regions, (*TEXT, *BINARY)),
    "boxes: xml, json, text": Kind(
        _lists, _convert, (*TEXT, *(structure.change_json,) * 6), ("marks.*", "labels", "list.txt")
    ),
    "names of labels": Kind(
        single("labels", lambda: [_LABELS]), _read_names, (*TEXT, *(_of_message(LabelMap),) * 6),
    ),
    "AnnotatedDatum": Kind(
        _datums, lambda folder: read_boxed((folder / "datum").read_bytes(), True, "example"),
        (*BINARY, *(structure.change_message,) * 10),
    ),
    "boxes: COCO's results and annotations": Kind(
        _scores, _score, (*TEXT, *(structure.change_json,) * 20), ("truth.json", "results.json", "boxes/*", SETTINGS)
    ),
    "sizes of images": Kind(
        single("sizes", lambda: [b"a 7 9\nb c 30 40\n"]),
        lambda folder: read_name_sizes("example", str(folder / "sizes")), TEXT
    ),
}  # fmt: skip
