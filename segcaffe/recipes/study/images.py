"""The images of one seed: generated, or drawn from a data set, made small and divided in two."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.data.files import write_bytes, write_picture
from segcaffe.data.images import read_image, resize_averaging, resize_nearest
from segcaffe.data.label_files import read_few_labels
from segcaffe.data.png import write_label
from segcaffe.data.pool import ordered
from segcaffe.data.synthetic import CLASS_NAMES, write_set
from segcaffe.errors import DataError
from segcaffe.files.regular import read_bytes
from segcaffe.files.there import is_file
from segcaffe.recipes.study.sources import IGNORED, LABELS, Source

Array = np.ndarray[Any, Any]
_WHERE, _DATA = "reproduce", "--data"
_FACTS = "set.json"


@dataclass(frozen=True)
class Sample:
    """Which images a seed has.

    Attributes
    ----------
    train, test:
        How many images at most; of a data set that has fewer, a quarter is for testing.
    size:
        Pixels of the longer side, at most: images are made smaller, never larger.
    ignored:
        Labels whose pixels do not count, besides 255.
    """

    train: int = 200
    test: int = 60
    size: int = 256
    ignored: tuple[int, ...] = ()


@dataclass(frozen=True)
class ImageSet:
    """Images of a seed, as a folder with train.txt and test.txt.

    Attributes
    ----------
    height, width:
        They hold every test image.
    labels:
        The data set's own label of each class; empty for generated scenes.
    """

    root: Path
    classes: int
    height: int
    width: int
    labels: Sequence[int] = ()

    def list_of(self, subset: str) -> Path:
        """The list of "train" or "test"."""
        return self.root / f"{subset}.txt"

    def described(self) -> str:
        """A sentence: how many images and classes there are."""
        train, test = (len(read_bytes(self.list_of(subset)).splitlines()) for subset in ("train", "test"))
        own = f" (labels {', '.join(map(str, self.labels))} of the data set)" if self.labels else ""
        return f"Each seed has {train} images for training and {test} for testing, of {self.classes} classes{own}."

    def test_pairs(self) -> list[tuple[Path, Path]]:
        """Files of the test images and their label maps."""
        lines = read_bytes(self.list_of("test")).decode().splitlines()
        return [(self.root / image, self.root / label) for image, label in map(str.split, lines)]


def prepare(root: Path, seed: int, sample: Sample, source: Source | None) -> ImageSet:
    """Write a seed's images, unless they are there; without ``source`` they are generated, of three classes.

    Raises
    ------
    DataError
        The data set has too few images, or cannot be read.
    """
    facts = root / _FACTS
    if not is_file(facts):
        found = _generate(root, seed, sample) if source is None else _draw(root, seed, sample, source)
        write_bytes(facts, json.dumps(found).encode(), _WHERE)
    return ImageSet(root, **read_kept(facts))


def read_kept(file: Path) -> dict[str, Any]:
    """A JSON object that an earlier run wrote; DataError where the file was damaged since."""
    try:
        found = json.loads(read_bytes(file))
    except (OSError, ValueError) as error:
        raise DataError(
            f'{_WHERE}: cannot read "{file}": {error}. Delete it: the same command makes it anew.'
        ) from error
    if not isinstance(found, dict):
        raise DataError(f'{_WHERE}: "{file}" holds no JSON object. Delete it: the same command makes it anew.')
    return found


def _generate(root: Path, seed: int, sample: Sample) -> dict[str, Any]:
    size = min(sample.size, 144)
    write_set(root, sample.train, sample.test, size, seed, classes=True)
    return {"classes": len(CLASS_NAMES), "height": size, "width": size}


def _draw(root: Path, seed: int, sample: Sample, source: Source) -> dict[str, Any]:
    """Draw, shrink and renumber: labels that are met become 0, 1, ..., and 255 what does not count."""
    test = min(sample.test, len(source.pairs) // 4)
    if test < 1:
        raise DataError(f"--data: at least 4 images with label maps are needed. Found: {len(source.pairs)}.")
    order = np.random.default_rng(seed).permutation(len(source.pairs))[: sample.train + test]
    pairs = [source.pairs[index] for index in order]
    shrunk: list[tuple[Array, Array]] = []
    for outcome in ordered(lambda pair: _small(pair, sample.size), pairs):
        if isinstance(outcome, DataError):
            raise outcome
        shrunk.append(outcome)
    table = renumbering((label for _, label in shrunk), source, sample.ignored)
    lines = []
    for index, (image, label) in zip(order, shrunk, strict=True):
        names = [f"{kind}/{index:05d}.png" for kind in ("images", "labels")]
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_picture(root / names[0], image, _WHERE, one_of_many=True)
        write_label(root / names[1], table[label], _WHERE)
        lines.append(" ".join(names) + "\n")
    write_bytes(root / "test.txt", "".join(lines[:test]).encode(), _WHERE)
    write_bytes(root / "train.txt", "".join(lines[test:]).encode(), _WHERE)
    heights, widths = zip(*(label.shape for _, label in shrunk[:test]), strict=True)
    labels = [int(np.argmax(table == number)) for number in range(int(table[table != IGNORED].max()) + 1)]
    return {"classes": len(labels), "height": max(heights), "width": max(widths), "labels": labels}


def renumbering(maps: Iterable[Array], source: Source, ignored: Sequence[int]) -> Array:
    """The new label of each old one, (256): consecutive numbers for those that are met, 255 for what does not count.

    Where 0 and 255 are the only ones, as in images that are black and white, 255 counts as a class.
    """
    met = np.zeros(LABELS, bool)
    for label in maps:
        met[np.unique(label)] = True
    values = np.arange(LABELS)
    values[list(source.values)] = list(source.values.values())
    values[list(ignored)] = IGNORED
    counted = sorted({int(value) for value in values[met]} - {IGNORED})
    if len(counted) == 1 and met[IGNORED] and IGNORED not in ignored:
        counted.append(IGNORED)
    if len(counted) < 2:
        raise DataError(f"--data: label maps must have two classes at least. Received: {counted or 'none'}.")
    table = np.full(LABELS, IGNORED, np.uint8)
    for number, value in enumerate(counted):
        table[values == value] = number
    return table


def _small(pair: tuple[Path, Path], size: int) -> tuple[Array, Array]:
    """An image (H, W, 3) and its label map (H, W), the longer side at most ``size``."""
    image, label = read_image(str(pair[0]), True, _DATA), read_few_labels(pair[1], _DATA)
    if image.shape[:2] != label.shape:
        raise DataError(
            f'{_DATA}: an image and its label map must have one size. Received: "{pair[0]}" {image.shape[:2]}, '
            f'"{pair[1]}" {label.shape}.'
        )
    factor = min(1, size / max(label.shape))
    height, width = (max(1, round(factor * side)) for side in label.shape)
    return resize_averaging(image, height, width), resize_nearest(label, height, width).reshape(height, width)
