"""MS COCO: its annotations drawn as label maps, and lists of them."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.importers import write_lists
from segcaffe.data.opencv import hold_threads
from segcaffe.data.png import write_label
from segcaffe.data.pool import ordered
from segcaffe.errors import DataError, SegcaffeError
from segcaffe.files.limits import Budget
from segcaffe.files.regular import read_bytes
from segcaffe.files.there import is_dir, is_file
from segcaffe.window import MOST_PIXELS

Label = NDArray[np.uint8]
CROWD = 255
"""Label of regions with many objects that are not told apart: to be ignored."""


def import_coco(
    folder: Path, out: Path, year: str | None = None, progress: Callable[[], object] = lambda: None
) -> list[Path]:
    """Write ``coco_<split>.txt`` (``/train2014/x.jpg /labels/train2014/x.png``) and ``coco_<split>_id.txt``.

    Label maps are drawn into ``folder/labels/<split>``, as far as they are missing: the category's id (1 to 90) for
    each object, smaller objects over larger ones, 0 for what is no object and 255 for crowds. Where there are splits
    train and val, there is ``trainval`` too.

    Parameters
    ----------
    folder:
        The data set's folder: ``annotations/instances_<split>.json``, and images in ``<split>`` or ``images/<split>``.
        In the lists names start with a slash, so that it may be the ``root_folder``.
    year:
        Which splits, where ``annotations`` has several years: ``2014`` or ``2017``.
    progress:
        Called after each image.

    Returns
    -------
    list
        The list files written.
    """
    splits: dict[str, tuple[list[str], list[str]]] = {}
    for split, file in _annotations(folder, year).items():
        lines = []
        images, objects = _read(file)
        place = next((p for p in (split, f"images/{split}") if is_dir(folder / p)), None)
        if place is None:
            raise DataError(f'import-coco: "{folder}" has neither a folder {split} nor images/{split}.')
        for outcome in ordered(lambda image: _line(folder, place, split, image, objects[image["id"]]), images):  # noqa: B023
            progress()
            if isinstance(outcome, DataError):
                raise outcome
            lines.append(outcome)
        splits[re.sub(r"\d+$", "", split)] = lines, [Path(image["file_name"]).stem for image in images]
    if {"train", "val"} <= splits.keys():
        train, val = splits["train"], splits["val"]
        splits["trainval"] = train[0] + val[0], train[1] + val[1]
    written = []
    for split, (lines, ids) in splits.items():
        written += write_lists(out, f"coco_{split}", lines, ids)
    return written


def _annotations(folder: Path, year: str | None) -> dict[str, Path]:
    """The annotation file of each split, of one year."""
    files = {path.stem.removeprefix("instances_"): path for path in folder.glob("annotations/instances_*.json")}
    chosen = {split: path for split, path in sorted(files.items()) if year is None or split.endswith(year)}
    if not chosen:
        wanted = f"instances_*{year or ''}.json"
        raise DataError(f'import-coco: "{folder}" has no annotations/{wanted}; give the data set\'s folder.')
    years = sorted({re.sub(r"^\D*", "", split) for split in chosen})
    if len(years) > 1:
        raise DataError(f'import-coco: "{folder}" has annotations of {" and ".join(years)}; choose with --year.')
    return chosen


def _read(file: Path) -> tuple[list[dict[str, Any]], defaultdict[int, list[dict[str, Any]]]]:
    """The images of an annotation file, sorted by name, and the objects of each by its id."""
    try:
        content = json.loads(read_bytes(file))
        images = sorted(content["images"], key=lambda image: str(image["file_name"]))
        objects: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        for one in content["annotations"]:
            objects[one["image_id"]].append(one)
        for image in images:
            objects.setdefault(image["id"], [])
    except OSError as error:
        raise DataError(f'import-coco: cannot read "{file}": {error.strerror or error}.') from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f'import-coco: "{file}" must hold images and annotations as COCO\'s own files do: {error!r}.') \
            from error  # fmt: skip
    return images, objects


def _line(folder: Path, place: str, split: str, image: Mapping[str, Any], objects: Iterable[Mapping[str, Any]]) -> str:
    name = str(image["file_name"])
    label = f"labels/{split}/{Path(name).stem}.png"
    if not is_file(folder / place / name):
        raise DataError(f'import-coco: "{folder / place / name}" does not exist.')
    if not is_file(folder / label):
        size = (folder / place / name).stat().st_size
        drawn = _drawn(image, objects, Budget(f'import-coco: {split}: "{name}"', size))
        write_label(folder / label, drawn, "import-coco")
    return f"/{place}/{name} /{label}"


def _drawn(image: Mapping[str, Any], objects: Iterable[Mapping[str, Any]], budget: Budget) -> Label:
    """The label map of an image, whose size, which the annotations state, must fit that of its file."""
    import cv2

    try:
        height, width = int(image["height"]), int(image["width"])
        if min(height, width) < 1:
            raise ValueError(f"an image of {height} x {width} has no pixels")
        budget.take(height * width, f"a label map of {height} x {width}")
        return draw(height, width, objects)
    except SegcaffeError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, MemoryError, cv2.error) as error:
        raise DataError(f"{budget.where}: its annotations are damaged: {error!r}.") from error


def draw(height: int, width: int, objects: Iterable[Mapping[str, Any]]) -> Label:
    """The label map (height, width) of an image's objects: crowds lowest, then the largest, the smallest on top.

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError
        An object lacks a field, or its segmentation is none.
    """
    import cv2

    hold_threads()
    label = np.zeros((height, width), np.uint8)
    for one in sorted(objects, key=lambda one: (not one.get("iscrowd"), -one["area"])):
        value = CROWD if one.get("iscrowd") else int(one["category_id"])
        if not 0 <= value <= CROWD:
            raise ValueError(f"a category_id is 0 to {CROWD}, not {str(value)[:20]}")
        if isinstance(one["segmentation"], list):
            rings = [np.asarray(ring, np.float64).reshape(-1, 2) for ring in one["segmentation"]]
            if not all((abs(ring) <= MOST_PIXELS).all() for ring in rings):
                raise ValueError("a polygon has a corner that no image reaches")
            cv2.fillPoly(label, [np.rint(ring).astype(np.int32) for ring in rings], value)
        else:
            label[_mask(one["segmentation"]["counts"], height, width)] = value
    return label


def _mask(counts: Any, height: int, width: int) -> NDArray[np.bool_]:
    """A mask from the lengths of its runs, column by column, the first one outside."""
    if isinstance(counts, str):
        raise ValueError("its runs are compressed; COCO's own instances_*.json have lists of numbers")
    if sum(counts) != height * width:
        raise ValueError(f"its runs have {sum(counts)} pixels, the image {height} x {width}")
    runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.asarray(runs.reshape(width, height).T)
