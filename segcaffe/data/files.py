"""Files that appear only when they are complete, and items that may be skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segcaffe.data.opencv import hold_threads
from segcaffe.errors import DataError, SegcaffeError

_SHOWN = 20


@contextmanager
def replacing(path: Path, where: str) -> Iterator[Path]:
    """Give a path beside ``path`` to write a file (or folder) to; it gets its name at the end, if nothing failed.

    What was there before stays until then. Folders on the way are made.

    Raises
    ------
    DataError
        Something can't be written: the disk is full, the folder is read-only...
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(part)
        try:
            yield part
            _put_in_place(part, path)
        finally:
            remove(part)
    except SegcaffeError:
        raise
    except OSError as error:
        raise DataError(
            f'{where}: cannot write "{path}": {error.strerror or error}. What was there before is unharmed.'
        ) from error


def write_bytes(path: Path, content: bytes, where: str) -> None:
    """Write a whole file, or leave the one that is there."""
    with replacing(path, where) as part:
        part.write_bytes(content)


def write_picture(path: Path, image: object, where: str) -> None:
    """Write an image (H, W) or (H, W, 3), BGR, in the format that the path's suffix names."""
    import cv2

    hold_threads()
    try:
        encoded, content = cv2.imencode(path.suffix, image)
    except cv2.error as error:
        raise DataError(f'{where}: OpenCV cannot write the format of "{path}"; use .png or .jpg.') from error
    if not encoded:
        raise DataError(f'{where}: OpenCV cannot encode "{path}".')
    write_bytes(path, content.tobytes(), where)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _put_in_place(part: Path, path: Path) -> None:
    """Rename; a folder cannot replace another in one step, so the old one steps aside for a moment."""
    if not path.is_dir():
        part.replace(path)
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.replace(aside)
    part.replace(path)
    remove(aside)


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

    def text(self) -> str:
        """The errors, one a line, the first ones if there are many."""
        count = len(self.errors)
        lines = [f"{count} item{'s' if count > 1 else ''} cannot be used:"]
        lines += [f"  {error}" for error in self.errors[:_SHOWN]]
        if count > _SHOWN:
            lines.append(f"  and {count - _SHOWN} more")
        return "\n".join(lines)
