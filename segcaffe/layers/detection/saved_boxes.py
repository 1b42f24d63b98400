"""What DetectionOutput writes of the boxes that it finds: the files of PASCAL VOC, COCO and ILSVRC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segcaffe.data.annotated.label_map import read_label_map
from segcaffe.data.files import write_bytes
from segcaffe.detection.in_image import in_pixels
from segcaffe.errors import DataError
from segcaffe.files.lock import Lock, lock
from segcaffe.layers.base import Layer
from segcaffe.layers.detection.name_sizes import read_name_sizes, resizing
from segcaffe.proto.caffe_pb2 import SaveOutputParameter
from segcaffe.proto.encoding import to_native
from segcaffe.text.digits import whole_number
from segcaffe.trust.paths import as_file_name, check_inside
from segcaffe.trust.rules import check_written

Array = np.ndarray[Any, Any]
FORMATS = ("VOC", "COCO", "ILSVRC")


class Saved(NamedTuple):
    """A box in pixels of its image: xmin, ymin, width and height, to hundredths."""

    image: str
    label: int
    score: float
    box: tuple[float, float, float, float]

    def line(self, *first: str) -> str:
        """The line of a text file: words, the score, and the corners in whole pixels."""
        x, y, width, height = (int(value) for value in self.box)
        return " ".join([*first, f"{self.score:g}", *(str(value) for value in (x, y, x + width, y + height))]) + "\n"


class SavedBoxes:
    """Collects the boxes of a test's images, and writes them when all of them are there.   [SSD].

    Parameters
    ----------
    layer:
        Whose boxes they are.
    background:
        The label without a file of its own.
    """

    def __init__(self, layer: Layer, options: SaveOutputParameter, background: int) -> None:
        self._layer, self._options, self._background = layer, options, background
        self._format = options.output_format
        if self._format not in FORMATS:
            raise layer.fail(f"save_output_param.output_format must be one of {', '.join(FORMATS)}", self._format)
        self._resize = resizing(layer, options)
        self._prefix = Path(to_native(options.output_directory), f"{to_native(options.output_name_prefix)}x")
        self._boxes: list[Saved] = []
        self._image = 0
        self._lock: Lock | None = None
        self._read = False

    def add(self, found: Array, items: int) -> None:
        """Note the rows (K, 7) of a batch of so many images, as DetectionOutput has them."""
        if not self._read:
            self._read_files()
        for item in range(items):
            rows = found[found[:, 0] == item]
            self._boxes += self._of_image(rows[np.argsort(rows[:, 1], kind="stable")])
            self._image += 1
            if self._image == self._count:
                self._write()
                self._image, self._boxes = 0, []

    def _read_files(self) -> None:
        """The names of labels and images; only now, for a net may be built where they are not."""
        options, where = self._options, self._layer.where
        labels = read_label_map(to_native(options.label_map_file), where)
        self._names = {label: name for name, label in labels.items()}
        self._images = read_name_sizes(where, options.name_size_file)
        self._count = options.num_test_image if options.HasField("num_test_image") else len(self._images)
        if not 1 <= self._count <= len(self._images):
            raise self._layer.fail(
                f'save_output_param.num_test_image must lie in 1..{len(self._images)}, the images of "'
                f'{options.name_size_file}"',
                self._count,
            )
        self._read = True

    def _of_image(self, rows: Array) -> Iterator[Saved]:
        image = self._images[self._image]
        corners = in_pixels(rows[:, 3:].astype(np.float32), image.size, self._resize)
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).astype(np.float64)
        for label, score, box in zip(rows[:, 1].astype(int), rows[:, 2], boxes, strict=True):
            if label not in self._names:
                raise DataError(
                    f'{self._layer.where}: label map "{self._options.label_map_file}" must name every label. '
                    f"Received: label {label}, which was found."
                )
            # Half a hundredth goes up, away from zero; no coordinate is below.
            x, y, width, height = (np.floor(value * 100 + 0.5) / 100 for value in box)
            yield Saved(image.name, int(label), float(score), (x, y, width, height))

    def _write(self) -> None:
        """Write the files, those that were there are replaced."""
        files = self._contents()
        folder = self._prefix.parent
        for path in files:
            check_written(self._layer.where, path)
            check_inside(folder, path, self._layer.where)
        if self._lock is None:
            # Where nothing can be written, writing says so.
            with suppress(DataError):
                self._lock = lock(folder, "DetectionOutput", "choose another output_directory", inside=True)
        for path, text in files.items():
            write_bytes(path, text.encode("utf-8", "surrogateescape"), self._layer.where)

    def _contents(self) -> dict[Path, str]:
        """The files' texts: one for each class (VOC), or one of all."""
        if self._format == "COCO":
            return {self._path("", ".json"): self._coco()}
        if self._format == "ILSVRC":
            return {self._path("", ".txt"): "".join(box.line(box.image, str(box.label)) for box in self._boxes)}
        paths = {label: self._path(name, ".txt") for label, name in self._names.items() if label != self._background}
        texts = dict.fromkeys(paths.values(), "")
        for box in self._boxes:
            texts[paths[box.label]] += box.line(box.image)
        return texts

    def _coco(self) -> str:
        """A list of results; numbers have nine digits, as many as tell floats apart."""
        results = [
            {
                "image_id": _number(box.image),
                "category_id": _number(self._names[box.label]),
                "bbox": [float(f"{np.float32(value):.9g}") for value in box.box],
                "score": float(f"{box.score:.9g}"),
            }
            for box in self._boxes
        ]
        return json.dumps(results, indent=4) + "\n"

    def _path(self, name: str, suffix: str) -> Path:
        prefix = self._prefix.name[:-1]
        return self._prefix.with_name(f"{prefix}{as_file_name(name) if name else ''}{suffix}")


def _number(text: str) -> int | str:
    """A name of digits as COCO has it, a number; names that begin with zeros stay names."""
    number = whole_number(text)
    return number if number is not None and str(number) == text else text
