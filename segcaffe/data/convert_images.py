"""A list of images into a database, as Caffe's convert_imageset does it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segcaffe.data.brightness import unlike_brightness
from segcaffe.data.database_writer import Writer, create_database
from segcaffe.data.files import BadItems
from segcaffe.data.images import Image, decode, read_bytes, resize
from segcaffe.data.label_files import read_labels
from segcaffe.data.label_images import Labels
from segcaffe.data.lists import Entry, name_and_label, warn_about_missing_labels
from segcaffe.data.opencv import hold_threads
from segcaffe.data.palettes import Palette
from segcaffe.data.pool import ordered
from segcaffe.errors import DataError
from segcaffe.proto import caffe_pb2
from segcaffe.text.words import counted

log = logging.getLogger(__name__)
_JPEG = ("jpg", "jpeg")
Made = tuple[str, Any] | DataError
"""Of a line of a list: the image's name and its message, or what is wrong."""


@dataclass(frozen=True)
class Conversion:
    """How images become Datum messages.

    Attributes
    ----------
    root:
        What stands before the names of the list.
    gray:
        One channel instead of three.
    height, width:
        Size they are resized to; 0 keeps theirs.
    encoded:
        Keep them compressed, in the format ``encode_type`` ("png", "jpg"), by default each file's own.
    check_size:
        All must have one size.
    labels:
        They are label maps: one channel of the numbers they store, resized without interpolation. Numbers above 255
        are kept as float_data.
    palette:
        The labels of colours.
    unlike:
        Filled with names of images whose numbers reading them as gray has changed, and what these are.
    """

    root: str = ""
    gray: bool = False
    height: int = 0
    width: int = 0
    encoded: bool = False
    encode_type: str = ""
    check_size: bool = False
    labels: bool = False
    palette: Palette | None = None
    unlike: list[tuple[str, str]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if (self.height == 0) != (self.width == 0) or min(self.height, self.width) < 0:
            raise DataError(
                f"make-db: give --resize_height and --resize_width together. Received: {self.height} and {self.width}."
            )

    def datum(self, entry: Entry) -> tuple[str, caffe_pb2.Datum]:
        """Name and message of a line ``image label``; without a label it is 0."""
        name, label = name_and_label(entry, "make-db")
        path, context = self.root + name, f"make-db: {entry.place}"
        if self.labels:
            return name, self._label_datum(read_labels(Path(path), context, self.palette), label, context)
        content = read_bytes(path, context)
        if self.gray and (what := unlike_brightness(content)):
            self.unlike.append((name, what))
        original = decode(content, not self.gray, f'{context}: cannot read "{path}"')
        image = resize(original, self.height, self.width)
        height, width, channels = image.shape
        datum = caffe_pb2.Datum(channels=channels, height=height, width=width, label=label)
        datum.encoded = self.encoded
        datum.data = self._encode(name, content, image) if self.encoded else image.transpose(2, 0, 1).tobytes()
        return name, datum

    def _label_datum(self, values: Labels, label: int, context: str) -> caffe_pb2.Datum:
        import cv2

        if self.height:
            hold_threads()
            values = cv2.resize(values, (self.width, self.height), interpolation=cv2.INTER_NEAREST)
        height, width = values.shape
        datum = caffe_pb2.Datum(channels=1, height=height, width=width, label=label, encoded=self.encoded)
        if self.encoded and (values.dtype != np.uint8 or self.encode_type not in ("", "png")):
            raise DataError(f"{context}: label maps are kept compressed as png, labels up to 255. Received: "
                            f"{self.encode_type or 'png'}, labels up to {values.max()}.")  # fmt: skip
        if self.encoded:
            datum.data = cv2.imencode(".png", values)[1].tobytes()
        elif values.dtype == np.uint8:
            datum.data = values.tobytes()
        else:
            datum.float_data.extend(values.ravel().tolist())
        return datum

    def warn(self) -> None:
        """Log a warning if reading images as gray has changed the numbers they store."""
        if self.unlike:
            name, what = min(self.unlike)
            log.warning(
                'make-db: %s, "%s" first, with %s; of these --gray keeps the brightness, as Caffe does. '
                "For label maps give --labels.",
                counted(len(self.unlike), "image"), name, what,
            )  # fmt: skip

    def _encode(self, name: str, content: bytes, image: Image) -> bytes:
        """The file as it is where that holds what is asked for, otherwise compressed anew."""
        import cv2

        hold_threads()
        kind = _kind(name)
        wanted = _kind(f".{self.encode_type}") or kind
        same_colour = decode(content, None, name).shape[2] == image.shape[2]
        if wanted == kind and same_colour and not self.height:
            return content
        try:
            done, buffer = cv2.imencode(f".{wanted}", image)
        except cv2.error:
            done = False
        if not done:
            raise DataError(f'make-db: OpenCV cannot encode as "{wanted}"; use --encode_type png or jpg.')
        return bytes(buffer.tobytes())


def make_database(
    entries: Sequence[Entry],
    path: Path,
    conversion: Conversion,
    backend: str = "lmdb",
    bad: BadItems | None = None,
    overwrite: bool = False,
    progress: Callable[[], object] = lambda: None,
) -> int:
    """Write the images of a list, with the keys of the original: number in the list, 8 digits, ``_``, name.

    Parameters
    ----------
    bad:
        Which and how many items may be left out; by default none.
    progress:
        Called after each line.

    Returns
    -------
    int
        Number of items written.

    Raises
    ------
    DataError
        An image is missing or unreadable, or of another size with ``check_size``; the disk cannot take the database.
    """
    warn_about_missing_labels(list(entries), "make-db")
    results: Iterable[Made] = ordered(conversion.datum, entries)
    if conversion.check_size:
        results = _of_one_size_all(results, entries)
    with create_database(path, backend, "make-db", overwrite) as writer:
        count = put_all(writer, results, "make-db", path, bad or BadItems(), progress)
    conversion.warn()
    return count


def put_all(
    writer: Writer,
    results: Iterable[Made],
    what: str,
    path: Path,
    bad: BadItems,
    progress: Callable[[], object],
) -> int:
    """Write what was made of each line of a list, with the keys of `make_database`; returns how many were.

    Raises DataError where more lines are bad than ``bad`` allows, or none can be used; ``what`` is the action's name.
    """
    count = 0
    for number, result in enumerate(results):
        progress()
        if isinstance(result, DataError):
            bad.add(result)
            continue
        name, message = result
        writer.put(f"{number:08d}_{name}", message.SerializeToString())
        count += 1
    if count == 0:
        raise DataError(f'{what}: no image of the list can be used, so "{path}" is not made.\n{bad.text()}')
    return count


def _of_one_size_all(results: Iterable[Made], entries: Sequence[Entry]) -> Iterator[Made]:
    """Errors in the place of images that are not as large as the first."""
    first: caffe_pb2.Datum | None = None
    for entry, result in zip(entries, results, strict=True):
        if isinstance(result, DataError):
            yield result
            continue
        first = first or result[1]
        yield _of_one_size(result, first, entry)


def _of_one_size(
    result: tuple[str, caffe_pb2.Datum], first: caffe_pb2.Datum, entry: Entry
) -> tuple[str, caffe_pb2.Datum] | DataError:
    name, datum = result
    if (datum.height, datum.width) == (first.height, first.width):
        return result
    return DataError(
        f"make-db: {entry.place}: --check_size wants all images as large as the first, {first.height} x "
        f'{first.width}. Received: "{name}" {datum.height} x {datum.width}.'
    )


def _kind(name: str) -> str:
    suffix = name.rpartition(".")[2].lower()
    return "jpg" if suffix in _JPEG else suffix
