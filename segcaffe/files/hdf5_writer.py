"""Writing HDF5 files so that a full disk is an error like any other.

The library keeps parts of a file in memory, and where it cannot write them when the file is closed, it cannot close the
file either and ends the process with it. Here it writes through an object that never fails in its eyes: what went wrong
is remembered and raised when the library is done. What is appended has its space reserved before anything is changed.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

_SLACK = 1 << 16
"""Bytes that the library may need beside the values: heads of data sets, trees of chunks."""
_CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)

Check = Callable[[], None]
"""Raises the OSError that has occurred, if one has."""


@contextmanager
def writing(h5py: ModuleType, path: Path) -> Iterator[tuple[Any, Check]]:
    """Make a file (h5py.File) anew. Raises OSError where it can't be written: at the end, or earlier by the check."""
    with path.open("w+b", buffering=0) as raw:
        yield from _shielded(h5py, raw, "w")


@contextmanager
def appending(h5py: ModuleType, path: Path, count: int) -> Iterator[Any]:
    """Open a file (h5py.File) to append values of ``count`` bytes.

    Raises OSError, the file being as it was, where there is no room for them.
    """
    with path.open("r+b", buffering=0) as raw:
        _reserve(raw, count + _SLACK)
        for file, _ in _shielded(h5py, raw, "r+"):
            yield file


def _shielded(h5py: ModuleType, raw: io.FileIO, mode: str) -> Iterator[tuple[Any, Check]]:
    shield = _Shield(raw)
    try:
        with h5py.File(shield, mode) as file:
            yield file, shield.check
    except Exception:
        # What the library says of it is less than what the system said.
        shield.check()
        raise
    shield.check()


class _Shield(io.RawIOBase):
    """A file for the library, which reads and writes it at will; the first error is kept from it."""

    def __init__(self, raw: io.FileIO) -> None:
        super().__init__()
        self._raw = raw
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the error that has been kept."""
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; what was never written, or can't be read, is zero."""
        view = memoryview(buffer).cast("B")
        done = 0
        try:
            while done < len(view) and (count := self._raw.readinto(view[done:])):
                done += count
        except OSError as error:
            self._keep(error)
        view[done:] = bytes(len(view) - done)
        return len(view)

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        done = 0
        try:
            while done < len(view) and self._error is None:
                done += self._raw.write(view[done:]) or 0
        except OSError as error:
            self._keep(error)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._raw.truncate(size) if self._error is None else 0
        except OSError as error:
            self._keep(error)
            return 0

    def _keep(self, error: OSError) -> None:
        self._error = self._error or error


def _reserve(raw: io.FileIO, count: int) -> None:
    """Have the system keep room behind the end of a file; OSError, the file being as it was, where there is none."""
    size = raw.seek(0, os.SEEK_END)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(raw.fileno(), size, count)
    except OSError as error:
        raw.truncate(size)
        if error.errno not in _CANNOT_RESERVE:
            raise
