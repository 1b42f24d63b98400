"""A list of images into a database, as Caffe's convert_imageset does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segcaffe.data.database_writer import create_database
from segcaffe.data.files import BadItems
from segcaffe.data.images import Image, decode, read_bytes, resize
from segcaffe.data.lists import Entry, name_and_label, warn_about_missing_labels
from segcaffe.data.opencv import hold_threads
from segcaffe.data.pool import ordered
from segcaffe.errors import DataError
from segcaffe.proto import caffe_pb2

_JPEG = ("jpg", "jpeg")


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
    """

    root: str = ""
    gray: bool = False
    height: int = 0
    width: int = 0
    encoded: bool = False
    encode_type: str = ""
    check_size: bool = False

    def __post_init__(self) -> None:
        if (self.height == 0) != (self.width == 0) or min(self.height, self.width) < 0:
            raise DataError(
                f"make-db: give --resize_height and --resize_width together. Received: {self.height} and {self.width}."
            )

    def datum(self, entry: Entry) -> tuple[str, caffe_pb2.Datum]:
        """Name and message of a line ``image label``; without a label it is 0."""
        name, label = name_and_label(entry, "make-db")
        path, context = self.root + name, f"make-db: {entry.place}"
        content = read_bytes(path, context)
        original = decode(content, not self.gray, f'{context}: cannot read "{path}"')
        image = resize(original, self.height, self.width)
        height, width, channels = image.shape
        datum = caffe_pb2.Datum(channels=channels, height=height, width=width, label=label)
        datum.encoded = self.encoded
        datum.data = self._encode(name, content, image) if self.encoded else image.transpose(2, 0, 1).tobytes()
        return name, datum

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
    bad = bad or BadItems()
    warn_about_missing_labels(list(entries), "make-db")
    first: caffe_pb2.Datum | None = None
    count = 0
    with create_database(path, backend, "make-db", overwrite) as writer:
        for number, (entry, result) in enumerate(zip(entries, ordered(conversion.datum, entries), strict=True)):
            progress()
            if not isinstance(result, DataError) and conversion.check_size:
                first = first or result[1]
                result = _of_one_size(result, first, entry)
            if isinstance(result, DataError):
                bad.add(result)
                continue
            name, datum = result
            writer.put(f"{number:08d}_{name}", datum.SerializeToString())
            count += 1
        if count == 0:
            raise DataError(f'make-db: no image of the list can be used, so "{path}" is not made.\n{bad.text()}')
    return count


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
