"""Pairs of images and label maps: generated, or of a folder as data sets come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.data.image_kinds import image_files
from segcaffe.data.importers import CITYSCAPES_TRAIN_IDS
from segcaffe.data.label_files import SUFFIXES
from segcaffe.errors import DataError
from segcaffe.files.regular import read_bytes
from segcaffe.files.there import is_dir, is_file

Array = np.ndarray[Any, Any]

IGNORED = 255
LABELS = 256
_IMAGES = ("images", "image", "imgs", "JPEGImages")
_LABELS = ("labels", "label", "masks", "annotations", "SegmentationClass")
_KINDS = """lists of "image label" (*.txt, as CamVid has them), VOC2012, Cityscapes, or a folder "images" beside one \
"labels" with files of the same names"""


@dataclass(frozen=True)
class Source:
    """Images and label maps of a data set, in the order of their names.

    Attributes
    ----------
    pairs:
        Files of an image and its label map.
    values:
        Labels that have another number in the files: those of Cityscapes.
    """

    pairs: list[tuple[Path, Path]]
    values: Mapping[int, int] = field(default_factory=dict)


def find_source(folder: Path) -> Source:
    """The pairs of a data set's folder, whichever of the known kinds it is.

    Raises
    ------
    DataError
        There is no such folder, or it is of no known kind.
    """
    if not is_dir(folder):
        raise DataError(f'--data: "{folder}" is no folder.')
    for look in (_cityscapes, _folders, _lists):
        if source := look(folder):
            return source
    raise DataError(f'--data: "{folder}" has no images with label maps. It must hold {_KINDS}.')


def _cityscapes(folder: Path) -> Source | None:
    """Images that have label maps, in the folder's parts train and val."""
    images = sorted((folder / "leftImg8bit").glob("*/*/*_leftImg8bit.png"))
    pairs = []
    for image in images:
        stem = image.name.removesuffix("_leftImg8bit.png")
        label = folder / "gtFine" / image.parent.relative_to(folder / "leftImg8bit") / f"{stem}_gtFine_labelIds.png"
        if "test" not in image.parts and is_file(label):
            pairs.append((image, label))
    values = {label: CITYSCAPES_TRAIN_IDS.get(label, IGNORED) for label in range(LABELS)}
    return Source(pairs, values) if pairs else None


def _folders(folder: Path) -> Source | None:
    """Files of one name in a folder of images and one of label maps: those of VOC, and many others."""
    images = next((folder / name for name in _IMAGES if is_dir(folder / name)), None)
    labels = next((folder / name for name in _LABELS if is_dir(folder / name)), None)
    if images is None or labels is None:
        return None
    maps = {path.stem: path for path in labels.iterdir() if path.suffix.lower() in SUFFIXES}
    pairs = [(image, maps[image.stem]) for image in sorted(image_files(images), key=_order) if image.stem in maps]
    return Source(pairs) if pairs else None


def _lists(folder: Path) -> Source | None:
    """Lines of two words, both files of the folder, of all its lists."""
    pairs = {}
    for file in sorted(folder.glob("*.txt")):
        for line in read_bytes(file).decode(errors="replace").splitlines():
            words = line.split()
            if len(words) == 2:
                image, label = (folder / word.lstrip("/") for word in words)
                if is_file(image) and is_file(label):
                    pairs[image] = label
    return Source(list(pairs.items())) if pairs else None


def _order(path: Path) -> list[int | str]:
    """The name's digits and the rest apart, so that 10 comes after 9."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.stem)]
