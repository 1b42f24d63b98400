"""The files that come of boxes: pictures, COCO's results, and a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.data.annotated.label_map import Category
from segcaffe.data.files import write_bytes, write_picture
from segcaffe.data.images import Image
from segcaffe.errors import DataError
from segcaffe.files.regular import read_bytes
from segcaffe.predict.loaded import Array
from segcaffe.predict.pictures import Picture
from segcaffe.predict.result_folder import ResultFolder
from segcaffe.text.digits import whole_number
from segcaffe.viz.boxes import draw_boxes

DETECTIONS = "detections.json"
"""COCO's results of all images."""
SHOWN = 0.5
"""The least score of boxes in pictures, unless told otherwise."""
COLUMNS = ("image", "category_id", "name", "score", "xmin", "ymin", "xmax", "ymax")
Row = dict[str, Any]


class BoxResults(ResultFolder[Array]):
    """The folder of boxes: ``boxes/<id>.json`` and ``pictures/<id>.jpg``, and of all together two files.

    ``detections.json`` is a list of results as COCO's tools read them (image_id, category_id, bbox of x, y, width and
    height, score), ``detections.csv`` a table with names and corners.

    Parameters
    ----------
    categories:
        What labels stand for; a label without one is its own number.
    colours:
        Colours R, G, B of the labels (256, 3).
    score:
        Boxes that score less are left out; None: of the pictures those below `SHOWN`.

    The others are those of `ResultFolder`.
    """

    parts = ("pictures", "boxes")

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        categories: Mapping[int, Category],
        colours: Array,
        score: float | None = None,
        overwrite: bool = False,
    ) -> None:
        self.categories, self.colours, self.score = categories, colours, score
        known = {str(category.id): category.name for category in categories.values()}
        super().__init__(folder, {**settings, "categories": known, "score": score}, overwrite)

    def write(self, picture: Picture, image: Image, answer: Array) -> None:
        """Write picture and boxes of one image (H, W, C), from boxes (K, 6) as `BoxPredictor` gives them."""
        if self.score is not None:
            answer = answer[answer[:, 1] >= self.score]
        shown = answer[answer[:, 1] >= SHOWN] if self.score is None else answer
        labels = shown[:, 0].astype(int)
        captions = [
            f"{self._category(label).shown} {score:.2f}" for label, score in zip(labels, shown[:, 1], strict=True)
        ]
        drawn = draw_boxes(image, shown[:, 2:], captions, self.colours[labels % len(self.colours)])
        drawing, boxes = self.paths(picture.id)
        write_picture(drawing, drawn, "results", one_of_many=True)
        rows = [self._row(picture.id, found) for found in answer]
        write_bytes(boxes, json.dumps(rows).encode(), "results", one_of_many=True)

    def paths(self, name: str) -> list[Path]:
        """The picture of an image, and its boxes."""
        return [self.folder / "pictures" / f"{name}.jpg", self.folder / "boxes" / f"{name}.json"]

    def join(self, pictures: Sequence[Picture]) -> int:
        """Write the files of all these pictures, as far as they are done; returns the number of boxes.

        Where the names of all images are whole numbers, as COCO's are, image_id is the number, otherwise the name.
        """
        done = [picture.id for picture in pictures if self.is_done(picture)]
        numbers = [whole_number(name) for name in done]
        ids: list[Any] = numbers if None not in numbers and len(set(numbers)) == len(done) else done
        names = {category.id: category.shown for category in self.categories.values()}
        rows, table = [], io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow(COLUMNS)
        for name, number in zip(done, ids, strict=True):
            for row in read_rows(self.paths(name)[1]):
                rows.append({**row, "image_id": number})
                left, top, width, height = row["bbox"]
                corners = (left, top, _short(left + width), _short(top + height))
                category = row["category_id"]
                writer.writerow([name, category, names.get(category, f"class {category}"), row["score"], *corners])
        write_bytes(self.folder / DETECTIONS, json.dumps(rows).encode(), "results")
        write_bytes(self.folder / "detections.csv", table.getvalue().encode("utf-8", "surrogateescape"), "results")
        return len(rows)

    def _row(self, name: str, found: Array) -> Row:
        """A box (6,) as COCO writes it."""
        label, score, left, top, right, bottom = found.tolist()
        box = [_short(value) for value in (left, top, right - left, bottom - top)]
        return {"image_id": name, "category_id": self._category(int(label)).id, "bbox": box, "score": _short(score)}

    def _category(self, label: int) -> Category:
        return self.categories.get(label) or Category(label, f"class {label}", f"class {label}")


def read_rows(path: Path) -> list[Row]:
    """The boxes of an image, written by an earlier run perhaps; DataError where that file is damaged."""
    try:
        rows = json.loads(read_bytes(path))
        for row in rows:
            if len(row["bbox"]) != 4 or not np.isfinite([*row["bbox"], row["score"]]).all():
                raise ValueError("a box must be four numbers")
            if type(row["category_id"]) is not int:
                raise ValueError("a category must be a whole number")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f'cannot read "{path}": {error}. Use --overwrite, or another --out.') from error
    return list(rows)


def _short(value: float) -> float:
    """The value to the digits that a float32 has."""
    return float(f"{value:.7g}")
