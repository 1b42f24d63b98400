"""Boxes of many images in one file: COCO's results and annotations; and those of a list of images and boxes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.data.annotated.box_files import READERS, Mark
from segcaffe.data.files import BadItems
from segcaffe.data.images import read_bytes
from segcaffe.data.lists import Entry, read_list
from segcaffe.detection.scenes import Found, Objects
from segcaffe.errors import DataError
from segcaffe.text.digits import whole_number

_RESULTS = '[{"image_id", "category_id", "bbox": [x, y, width, height], "score"}]'
_ANNOTATIONS = '{"images": [{"id", "file_name"}], "annotations": [{"image_id", "category_id", "bbox"}], "categories"}'
_MOST_PIXELS = 1e9
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Truth:
    """The objects of images.

    Attributes
    ----------
    objects:
        Of each image.
    index:
        Which image an identification means: its id, its file's name without suffix, or the number that this is.
    names:
        Of the categories, by their numbers.
    """

    objects: list[Objects]
    index: Mapping[str, int]
    names: Mapping[int, str]


@dataclass
class _Collected:
    """Boxes of an image, one after the other."""

    labels: list[int] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    difficult: list[bool] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)

    def found(self) -> Found:
        scores, areas = np.array(self.scores, np.float64), np.array(self.areas, np.float64)
        return Found(np.array(self.labels, np.int64), scores, self._corners(), areas)

    def objects(self) -> Objects:
        difficult, crowd = np.array(self.difficult, np.bool_), np.array(self.crowd, np.bool_)
        areas = np.array(self.areas, np.float64)
        return Objects(np.array(self.labels, np.int64), self._corners(), difficult, crowd, areas)

    def add_box(self, values: Sequence[Any], area: Any = None) -> None:
        """Add COCO's x, y, width and height, and the area of what is in it, if that is known."""
        left, top, width, height = _box(values)
        self.boxes.append((left, top, left + width, top + height))
        self.areas.append(width * height if area is None else _number(area))

    def _corners(self) -> np.ndarray[Any, Any]:
        return np.array(self.boxes, np.float64).reshape(-1, 4)


def read_results(path: Path, truth: Truth) -> list[Found]:
    """The detections of each of the truth's images, from a file of COCO's results.

    Raises
    ------
    DataError
        It is no such file, or has detections of another image.
    """
    collected = [_Collected() for _ in truth.objects]
    try:
        for row in _json(path, "results"):
            name = str(row["image_id"])
            if name not in truth.index:
                raise DataError(f'"{path}": image_id "{name}" is none of the {len(truth.objects)} images of the truth.')
            own = collected[truth.index[name]]
            own.labels.append(_label(row["category_id"]))
            own.add_box(row["bbox"])
            own.scores.append(_number(row["score"]))
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise DataError(f'"{path}": COCO results are {_RESULTS}. Received something else: {error!r}.') from error
    return [one.found() for one in collected]


def read_annotations(path: Path) -> Truth:
    """The objects of a file of COCO's annotations; DataError if it is none."""
    try:
        content = _json(path, "annotations")
        # Of equal scores, those in the image of the lower id come first, as in pycocotools.
        in_order = sorted(content["images"], key=lambda image: _rank(image["id"]))
        images = [(str(image["id"]), str(image.get("file_name", ""))) for image in in_order]
        collected = {name: _Collected() for name, _ in images}
        names = {_label(one["id"]): str(one.get("name", one["id"])) for one in content["categories"]}
        for one in content["annotations"]:
            own = collected[str(one["image_id"])]
            own.labels.append(_label(one["category_id"]))
            own.add_box(one["bbox"], one.get("area"))
            own.crowd.append(bool(one.get("iscrowd", 0)))
            own.difficult.append(bool(one.get("ignore", 0)))
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise DataError(f'"{path}": COCO annotations are {_ANNOTATIONS}. Received something else: {error!r}.') \
            from error  # fmt: skip
    places = {name: i for i, name in enumerate(collected)}
    stems = [Path(file).stem for _, file in images]
    index = places | {stem: places[name] for stem, (name, _) in zip(stems, images, strict=True) if stem not in places}
    return Truth([one.objects() for one in collected.values()], index, names)


def read_boxes_of_list(
    source: str, root: str, labels: Mapping[str, int], ids: Mapping[int, int], bad: BadItems | None = None
) -> Truth:
    """The objects of a list with lines ``image boxes``, files as `READERS` read them.

    Parameters
    ----------
    root:
        Put before each name of boxes.
    labels:
        The label of each name.
    ids:
        The category's number of each label; the label's own where it is missing.

    Raises
    ------
    DataError
        A line or its file cannot be used (unless ``bad`` lets it be left out).
    """
    bad = bad or BadItems()
    objects, stems = list[Objects](), list[str]()
    for entry in read_list(source, "truth", "the list"):
        try:
            marks = _marks(entry, root, labels)
        except DataError as error:
            bad.add(error)
            continue
        stems.append(Path(entry.words[0]).stem)
        own = _Collected()
        for mark in marks:
            own.labels.append(ids.get(mark.label, mark.label))
            own.boxes.append(mark.box)
            own.areas.append((mark.box[2] - mark.box[0]) * (mark.box[3] - mark.box[1]))
            own.difficult.append(mark.difficult)
            own.crowd.append(False)
        objects.append(own.objects())
    if len(set(stems)) < len(stems):
        raise DataError(f'the list "{source}" has two images of one name; results tell images apart by their names.')
    names = {ids.get(label, label): name for name, label in labels.items()}
    return Truth(objects, _index(stems), names)


def _marks(entry: Entry, root: str, labels: Mapping[str, int]) -> Sequence[Mark]:
    words = entry.words
    read = READERS.get(Path(words[-1]).suffix.lower())
    if len(words) != 2 or read is None:
        raise DataError(
            f"{entry.place}: a line must hold an image file and a file of its boxes ({', '.join(READERS)}). "
            f'Received: "{entry.text}".'
        )
    path = root + words[1]
    return read(read_bytes(path, entry.place), labels, f'{entry.place}: "{path}"')[1]


def _index(names: Sequence[str]) -> dict[str, int]:
    """Names, and the numbers that they are, of which 007 and 7 are the same."""
    index = {name: i for i, name in enumerate(names)}
    for i, name in enumerate(names):
        number = whole_number(name)
        if number is not None:
            index.setdefault(str(number), i)
    return index


def _json(path: Path, what: str) -> Any:
    try:
        return json.loads(read_bytes(str(path), what))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _rank(name: Any) -> tuple[float, str]:
    """Numbers by their value, before names."""
    return (name, "") if isinstance(name, int | float) else (math.inf, str(name))


def _label(value: Any) -> int:
    if type(value) is not int or abs(value) >= 1 << 62:
        raise ValueError(f"a category is a whole number, not {value!r:.40}")
    return value


def _box(values: Sequence[Any]) -> Box:
    """Left, top, width and height."""
    left, top, width, height = (_number(value) for value in values)
    if min(width, height) < 0 or max(map(abs, (left, top, width, height))) > _MOST_PIXELS:
        raise ValueError(f"a bbox is x, y, width and height in pixels, not {values!r:.80}")
    return left, top, width, height


def _number(value: Any) -> float:
    number = float(value)
    if isinstance(value, str) or not math.isfinite(number):
        raise ValueError(f"{value!r:.40} is no number")
    return number
