"""Regions of images that a net is to judge: files of Python, JSON and tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from segcaffe.data.images import read_bytes
from segcaffe.errors import DataError
from segcaffe.files.npy import array_of_bytes
from segcaffe.text.digits import whole_number
from segcaffe.text.words import counted

Array = np.ndarray[Any, Any]
_FORMS = (
    '.npy (R, 4); .json: [[xmin, ymin, xmax, ymax], ...] for every image, {"image": [[...]]}, or COCO\'s '
    '[{"image_id", "bbox": [x, y, width, height]}]; .csv with the columns image, xmin, ymin, xmax, ymax'
)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_MOST_PIXELS = 1e9


class Regions(NamedTuple):
    """The regions (R, 4) of images: corners in pixels, which both belong to them.

    Attributes
    ----------
    source:
        Where they come from, for messages.
    everywhere:
        Those of every image; None where each has its own.
    by_image:
        Those of each image, by its file's name without folder and suffix, or the number that this is.
    """

    source: str
    everywhere: Array | None
    by_image: Mapping[str, Array]

    def of(self, name: str) -> Array:
        """The regions of an image; DataError where there are none for it."""
        if self.everywhere is not None:
            return self.everywhere
        number = whole_number(name)
        for key in (name, str(number)):
            if key in self.by_image:
                return self.by_image[key]
        raise DataError(
            f'"{self.source}" has no regions of the image "{name}"; it has those of '
            f"{counted(len(self.by_image), 'image')}."
        )


def read_regions(path: Path) -> Regions:
    """Read a file of regions, of the form that its suffix names; DataError if it is none."""
    readers = {".npy": _of_array, ".json": _of_json, ".csv": _of_table}
    read = readers.get(path.suffix.lower())
    if read is None:
        raise DataError(f'"{path}": regions are read from files of the forms {_FORMS}.')
    content = read_bytes(str(path), "regions")
    try:
        everywhere, own = read(content)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, csv.Error) as error:
        raise DataError(f'"{path}": regions are {_FORMS}. Received something else: {error!r:.200}.') from error
    return Regions(str(path), everywhere, own)


def _of_array(content: bytes) -> tuple[Array, dict[str, Array]]:
    return _checked(array_of_bytes(content)), {}


def _of_json(content: bytes) -> tuple[Array | None, dict[str, Array]]:
    rows = json.loads(content)
    if isinstance(rows, dict):
        return None, {_name(image): _checked(own) for image, own in rows.items()}
    if not rows or not isinstance(rows[0], dict):
        return _checked(rows), {}
    return None, _gathered((row["image_id"], _corners(*row["bbox"])) for row in rows)


def _of_table(content: bytes) -> tuple[None, dict[str, Array]]:
    table = csv.DictReader(io.StringIO(content.decode("utf-8-sig", "surrogateescape"), newline=""))
    columns = table.fieldnames or ()
    image = "filename" if "filename" in columns else "image"
    rows = ((row[image], [float(row[name]) for name in _CORNERS]) for row in table)
    return None, _gathered(rows)


def _gathered(rows: Iterable[tuple[Any, list[float]]]) -> dict[str, Array]:
    own: dict[str, list[list[float]]] = {}
    for image, corners in rows:
        own.setdefault(_name(image), []).append(corners)
    return {image: _checked(boxes) for image, boxes in own.items()}


def _corners(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width - 1, y + height - 1]


def _name(image: Any) -> str:
    return PurePath(str(image)).stem if isinstance(image, str) else str(image)


def _checked(values: Any) -> Array:
    """The corners (R, 4), checked."""
    boxes = np.array(values)
    if not boxes.size:
        return np.empty((0, 4))
    if boxes.dtype.kind not in "iuf" or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"rows of four numbers are needed, not {boxes.dtype} {boxes.shape}")
    boxes = boxes.astype(np.float64)
    wrong = ~(np.abs(boxes) <= _MOST_PIXELS).all(axis=1) | (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    if wrong.any():
        raise ValueError(f"xmax and ymax must not lie before xmin and ymin, as in {boxes[wrong][0].tolist()}")
    return boxes
