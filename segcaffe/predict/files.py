"""The files that come of predicted label maps."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.files import write_bytes, write_picture
from segcaffe.data.images import Image
from segcaffe.data.mat import write_mat
from segcaffe.data.palettes import voc_palette
from segcaffe.data.png import write_label
from segcaffe.errors import DataError
from segcaffe.files.regular import opened, read_bytes
from segcaffe.predict.pictures import Picture
from segcaffe.predict.result_folder import SETTINGS, ResultFolder

Array = NDArray[Any]


class Results(ResultFolder[Array]):
    """The folder of label maps: ``<id>.png``, if asked for ``overlay/<id>.jpg`` and ``scores/<id>.npy`` or ``.mat``.

    Parameters
    ----------
    colours:
        Colours R, G, B of the labels (256, 3); PASCAL VOC's if not given.

    The others are those of `ResultFolder`.
    """

    parts = ("overlay", "scores")

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
        self.overlay, self.kind = overlay, scores
        super().__init__(folder, settings, overwrite)

    def write(self, picture: Picture, image: Image, answer: Array) -> None:
        """Write the files of one image (H, W, C) and its scores (classes, H, W); the label map last."""
        label = answer.argmax(axis=0).astype(np.uint8)
        *others, path = self.paths(picture.id)
        for other in others:
            if other.suffix == ".jpg":
                write_picture(other, blend(image, label, self.colours), "results", one_of_many=True)
            elif other.suffix == ".mat":
                write_mat(other, answer[None], "results")
            else:
                buffer = io.BytesIO()
                np.save(buffer, answer)
                write_bytes(other, buffer.getvalue(), "results", one_of_many=True)
        write_label(path, label, "results", self.colours)

    def paths(self, name: str) -> list[Path]:
        """The files of an image, its label map last."""
        paths = [self.folder / "overlay" / f"{name}.jpg"] if self.overlay else []
        if self.kind:
            paths.append(self.folder / "scores" / f"{name}.{self.kind}")
        return [*paths, self.folder / f"{name}.png"]


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
    return sha256(path)[:16]


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    found = hashlib.sha256()
    try:
        with opened(path) as file:
            while block := file.read(1 << 20):
                found.update(block)
    except OSError as error:
        raise DataError(f'cannot read "{path}": {error.strerror}.') from error
    return found.hexdigest()
