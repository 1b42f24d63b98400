"""The images to predict, and the files that come of them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.files import replacing, write_bytes, write_picture
from segcaffe.data.image_kinds import IMAGE_SUFFIXES, image_files, is_image
from segcaffe.data.images import Image
from segcaffe.data.lists import read_list
from segcaffe.data.mat import write_mat
from segcaffe.data.palettes import voc_palette
from segcaffe.data.png import write_label
from segcaffe.errors import DataError
from segcaffe.files.disk import sync_folders
from segcaffe.files.leftovers import clean_folder
from segcaffe.files.lock import lock
from segcaffe.files.regular import opened, read_bytes
from segcaffe.files.there import exists, is_dir

SETTINGS = "predict.json"
"""Beside the results: what they depend on."""
SINCE = "since"
"""In it: results as old as this (nanoseconds, as files have it) were to be overwritten; 0 if none were."""


@dataclass(frozen=True)
class Picture:
    """An image to predict: its id (the file's name without folder and suffix), path, and place for messages."""

    id: str
    path: str
    place: str


def find_pictures(source: str, root: str = "") -> list[Picture]:
    """The images of a file, of a folder, or of a list (the first word of each line, after ``root``).

    Raises
    ------
    DataError
        Nothing is there, or two images have one id.
    """
    path = Path(source)
    if is_dir(path):
        found = [Picture(file.stem, str(file), "images") for file in image_files(path)]
    elif is_image(path) or path.suffix.lower() in IMAGE_SUFFIXES:
        found = [Picture(path.stem, source, "images")]
    else:
        entries = read_list(source, "images", "the list")
        names = [(root + entry.words[0], entry.place) for entry in entries]
        found = [Picture(Path(name).stem, name, place) for name, place in names]
    if not found:
        raise DataError(f'the folder "{source}" holds no image.')
    seen: dict[str, str] = {}
    for picture in found:
        if seen.setdefault(picture.id, picture.path) != picture.path:
            raise DataError(
                f'"{seen[picture.id]}" and "{picture.path}" would both be written as {picture.id}.png; '
                "predict them into two folders."
            )
    return found


class Results:
    """The folder of results: ``<id>.png``, and if asked for ``overlay/<id>.jpg`` and ``scores/<id>.npy`` or ``.mat``.

    Parameters
    ----------
    folder:
        Made when missing. Results that are there already are kept, if they were made with the same settings.
    settings:
        What the results depend on.
    overwrite:
        Make everything anew.
    colours:
        Colours R, G, B of the labels (256, 3); PASCAL VOC's if not given.

    Raises
    ------
    DataError
        The folder holds results of other settings.
    LockedError
        Another process is writing results there; it is kept from that as long as this object is there.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        overlay: bool = False,
        scores: str = "",
        overwrite: bool = False,
        colours: NDArray[np.uint8] | None = None,
    ) -> None:
        self.colours = voc_palette() if colours is None else colours
        self.folder, self.overlay, self.kind, self.overwrite = folder, overlay, scores, overwrite
        self._lock = lock(folder, "predict", "choose another --out", inside=True)
        for part in self._folders():
            clean_folder(part, lambda name: True)
        record = folder / SETTINGS
        self._since = 0
        if exists(record) and not overwrite:
            self._since = self._compare(record, json.loads(json.dumps(settings)))
        with replacing(record, "results") as part:
            if overwrite:
                # By the clock of the disk, which may be another machine's.
                self._since = part.stat().st_mtime_ns
            part.write_text(json.dumps({**settings, SINCE: self._since}, indent=1, sort_keys=True))

    def missing(self, pictures: Sequence[Picture]) -> list[Picture]:
        """Those of the pictures that are not done."""
        if self.overwrite:
            return list(pictures)
        return [picture for picture in pictures if not all(self._is_done(path) for path in self._paths(picture.id))]

    def write(self, picture: Picture, image: Image, scores: NDArray[np.float32]) -> None:
        """Write the files of one image (H, W, C) and its scores (classes, H, W); the label map last."""
        label = scores.argmax(axis=0).astype(np.uint8)
        *others, path = self._paths(picture.id)
        for other in others:
            if other.suffix == ".jpg":
                write_picture(other, blend(image, label, self.colours), "results", one_of_many=True)
            elif other.suffix == ".mat":
                write_mat(other, scores[None], "results")
            else:
                buffer = io.BytesIO()
                np.save(buffer, scores)
                write_bytes(other, buffer.getvalue(), "results", one_of_many=True)
        write_label(path, label, "results", self.colours)

    def sync(self) -> None:
        """Bring what is written to the disk: for many small files at once, not for each."""
        sync_folders(*self._folders())

    def _folders(self) -> list[Path]:
        return [path for path in (self.folder, self.folder / "overlay", self.folder / "scores") if is_dir(path)]

    def _paths(self, name: str) -> list[Path]:
        paths = [self.folder / "overlay" / f"{name}.jpg"] if self.overlay else []
        if self.kind:
            paths.append(self.folder / "scores" / f"{name}.{self.kind}")
        return [*paths, self.folder / f"{name}.png"]

    def _is_done(self, path: Path) -> bool:
        """Whether a file is there, not left empty by a power failure, and not what was to be overwritten."""
        try:
            found = path.stat()
        except OSError:
            return False
        return found.st_size > 0 and (self._since == 0 or found.st_mtime_ns > self._since)

    def _compare(self, record: Path, settings: dict[str, Any]) -> int:
        """DataError if the settings are not the recorded ones; returns since when these hold."""
        try:
            before = json.loads(read_bytes(record))
            if not isinstance(before, dict):
                raise ValueError("it is no table of settings")
            since = before.pop(SINCE, 0)
            if type(since) is not int:
                raise ValueError(f'"{SINCE}" is no whole number')
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f'cannot read "{record}": {error}. Use --overwrite, or another --out.') from error
        changed = sorted(key for key in {*before, *settings} if before.get(key) != settings.get(key))
        if changed:
            raise DataError(
                f'the results in "{self.folder}" were made with other settings ({", ".join(changed)}). '
                "Use another --out, or --overwrite to make them anew."
            )
        return since


def class_names(folder: Path) -> list[str]:
    """Names of the classes that a folder of results records; none if it records none."""
    try:
        names = json.loads(read_bytes(folder / SETTINGS)).get("class_names", [])
    except (OSError, ValueError, AttributeError, RecursionError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def blend(image: Image, label: NDArray[Any], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, C) with its labels (H, W) over it in colours R, G, B (256, 3), half and half.

    Class 0 leaves the image as it is.
    """
    colour = np.broadcast_to(image[:, :, :3] if image.shape[2] >= 3 else image[:, :, :1], (*image.shape[:2], 3))
    mixed = (colour.astype(np.uint16) + colours[label][:, :, ::-1]) // 2
    return np.where((label == 0)[:, :, None], colour, mixed).astype(np.uint8)


def digest(path: str | Path) -> str:
    """A short fingerprint of a file's content."""
    found = hashlib.sha256()
    try:
        with opened(path) as file:
            while block := file.read(1 << 20):
                found.update(block)
    except OSError as error:
        raise DataError(f'cannot read "{path}": {error.strerror}.') from error
    return found.hexdigest()[:16]
