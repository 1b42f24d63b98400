"""Files that appear only when they are complete, and items that may be skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segcaffe.data.opencv import hold_threads
from segcaffe.errors import DataError, SegcaffeError
from segcaffe.files import disk
from segcaffe.files.disk import why_unwritable
from segcaffe.files.there import exists, is_dir, is_file
from segcaffe.parallel import Group
from segcaffe.trust.paths import check_inside

_SHOWN = 20


@contextmanager
def replacing(path: Path, where: str, one_of_many: bool = False, folder: bool = False) -> Iterator[Path]:
    """As `segcaffe.files.disk.replacing`; folders on the way are made.

    One of many files has its name from data, as a rule: it is not written through a link out of its folder.

    Raises
    ------
    DataError
        Something can't be written: the disk is full, the folder is read-only...
    """
    if one_of_many:
        check_inside(path.parent, path, where)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk.replacing(path, one_of_many, folder) as part:
            yield part
    except SegcaffeError:
        raise
    except OSError as error:
        raise DataError(
            f'{where}: cannot write "{path}": {why_unwritable(error)}. What was there before is unharmed.'
        ) from error


def check_output(path: Path, where: str) -> None:
    """DataError where a file could not be written under that name: before long work, not after it."""
    folder = path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f'{where}: the folder of "{path}" cannot be made: {error.strerror or error}. Choose another OUTPUT.'
        ) from error
    if is_dir(path):
        raise DataError(f'{where}: OUTPUT "{path}" is a folder; name a file.')
    # What is no file (a pipe, a device) is written itself, anything else beside it first.
    written = path if exists(path) and not is_file(path) else folder
    if not os.access(written, os.W_OK):
        raise DataError(f'{where}: OUTPUT "{path}": "{written}" may not be written to. Choose another place.')


def write_bytes(path: Path, content: bytes, where: str, one_of_many: bool = False) -> None:
    """Write a whole file, or leave the one that is there."""
    with replacing(path, where, one_of_many) as part:
        part.write_bytes(content)


def write_picture(path: Path, image: object, where: str, one_of_many: bool = False) -> None:
    """Write an image (H, W) or (H, W, 3), BGR, in the format that the path's suffix names."""
    import cv2

    hold_threads()
    try:
        encoded, content = cv2.imencode(path.suffix, image)
    except cv2.error as error:
        raise DataError(f'{where}: OpenCV cannot write the format of "{path}"; use .png or .jpg.') from error
    if not encoded:
        raise DataError(f'{where}: OpenCV cannot encode "{path}".')
    write_bytes(path, content.tobytes(), where, one_of_many)


class BadItems:
    """Counts the items that cannot be used; more than ``limit`` are an error.

    Parameters
    ----------
    limit:
        How many may be skipped (``--skip-bad``).
    """

    def __init__(self, limit: int = 0) -> None:
        if limit < 0:
            raise DataError(f"--skip-bad is a number of items, 0 or more. Received: {limit}.")
        self.limit = limit
        self.errors: list[DataError] = []

    def add(self, error: DataError) -> None:
        """Note an item's error; raise it, or one that lists them, if there are too many."""
        self.errors.append(error)
        if len(self.errors) <= self.limit:
            return
        if self.limit == 0:
            raise DataError(f"{error} (--skip-bad N skips at most N such items.)") from error
        raise DataError(f"{self.text()}\nThese are more than --skip-bad {self.limit} allows.") from error

    def join(self, ranks: Group) -> None:
        """Count those of all processes that work together, each of which calls it."""
        if ranks.joint:
            found = [DataError(text) for own in ranks.gather([str(error) for error in self.errors]) for text in own]
            self.errors = found[: self.limit]
            for error in found[self.limit :][:1]:
                self.add(error)

    def text(self) -> str:
        """The errors, one a line, the first ones if there are many."""
        count = len(self.errors)
        lines = [f"{count} item{'s' if count > 1 else ''} cannot be used:"]
        lines += [f"  {error}" for error in self.errors[:_SHOWN]]
        if count > _SHOWN:
            lines.append(f"  and {count - _SHOWN} more")
        return "\n".join(lines)
