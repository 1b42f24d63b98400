"""A list of images and of files with their boxes into a database, as SSD's convert_annoset does it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segcaffe.data.annotated.box_files import READERS, Mark, Size
from segcaffe.data.convert_images import Conversion, put_all
from segcaffe.data.database_writer import create_database
from segcaffe.data.files import BadItems
from segcaffe.data.images import decode, read_bytes
from segcaffe.data.lists import Entry
from segcaffe.data.pool import ordered
from segcaffe.errors import DataError
from segcaffe.proto.caffe_pb2 import AnnotatedDatum, NormalizedBBox

log = logging.getLogger("segcaffe")
_WHAT = "make-annotated-db"


@dataclass(frozen=True)
class Annotating:
    """How lines ``image boxes`` become AnnotatedDatum messages.

    Attributes
    ----------
    conversion:
        How the images are stored.
    labels:
        The label of each name.
    """

    conversion: Conversion
    labels: Mapping[str, int]

    def message(self, entry: Entry) -> tuple[str, AnnotatedDatum]:
        """Name and message of a line."""
        words = entry.words
        if len(words) != 2:
            raise DataError(
                f"{_WHAT}: {entry.place}: a line must hold an image file and a file of its boxes. "
                f'Received: "{entry.text}".'
            )
        name, boxes = words
        context = f"{_WHAT}: {entry.place}"
        read = READERS.get(Path(boxes).suffix.lower())
        if read is None:
            raise DataError(f'{context}: boxes are read from {", ".join(READERS)} files. Received: "{boxes}".')
        path = self.conversion.root + boxes
        size, marks = read(read_bytes(path, context), self.labels, f'{context}: "{path}"')
        message = AnnotatedDatum(type=AnnotatedDatum.BBOX)
        message.datum.CopyFrom(self.conversion.datum(Entry(name, entry.place))[1])
        # A label in the image's own message would say that it shows one thing.
        message.datum.label = -1
        _add(message, marks, size or self._size(name, context))
        return name, message

    def _size(self, name: str, context: str) -> Size:
        """Height and width of the image's file."""
        path = self.conversion.root + name
        height, width = decode(read_bytes(path, context), None, f'{context}: cannot read "{path}"').shape[:2]
        return height, width


def _add(message: AnnotatedDatum, marks: Sequence[Mark], size: Size) -> None:
    """Put the boxes into groups by their labels, numbered within each, in parts of the image."""
    height, width = size
    groups = {}
    for mark in marks:
        if mark.label not in groups:
            groups[mark.label] = message.annotation_group.add(group_label=mark.label)
        left, top, right, bottom = mark.box
        parts = (min(max(part, 0.0), 1.0) for part in (left / width, top / height, right / width, bottom / height))
        xmin, ymin, xmax, ymax = parts
        if xmin >= xmax or ymin >= ymax:
            log.warning("%s: a box without any area inside the image is left out: %s.", _WHAT, mark.box)
            continue
        own = groups[mark.label].annotation
        box = NormalizedBBox(xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax, difficult=mark.difficult)
        own.add(instance_id=len(own)).bbox.CopyFrom(box)


def make_annotated_database(
    entries: Sequence[Entry],
    path: Path,
    annotating: Annotating,
    backend: str = "lmdb",
    bad: BadItems | None = None,
    overwrite: bool = False,
    progress: Callable[[], object] = lambda: None,
) -> int:
    """Write the images of a list with their boxes; keys and returned number as of `make_database`.

    Raises
    ------
    DataError
        An image or its boxes are missing or unreadable, or the disk cannot take the database.
    """
    results = ordered(annotating.message, entries)
    with create_database(path, backend, _WHAT, overwrite) as writer:
        return put_all(writer, results, _WHAT, path, bad or BadItems(), progress)
