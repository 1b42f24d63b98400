"""Whole files of weights and states, read and written; errors are sentences."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segcaffe.errors import SegcaffeError, WeightsError
from segcaffe.files import disk
from segcaffe.files.disk import Together, replacing, together
from segcaffe.files.leftovers import clean_folder
from segcaffe.files.lock import Lock, lock
from segcaffe.files.regular import opened, read_bytes

_BLOCK = 1 << 20
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def read_file(path: str | Path) -> bytes:
    """Return a file's bytes; WeightsError naming it when it cannot be read."""
    try:
        return read_bytes(path)
    except OSError as error:
        raise unreadable(path, error) from error


def crc32_of(path: str | Path) -> int:
    """Return the CRC-32 of a file's content; WeightsError when it cannot be read."""
    checksum = 0
    try:
        with opened(path) as file:
            while block := file.read(_BLOCK):
                checksum = zlib.crc32(block, checksum)
    except OSError as error:
        raise unreadable(path, error) from error
    return checksum


def is_hdf5(path: str | Path) -> bool:
    """Whether a file starts as an HDF5 file does, whatever its name."""
    try:
        with opened(path) as file:
            return file.read(len(HDF5_MAGIC)) == HDF5_MAGIC
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: str | Path, error: OSError) -> WeightsError:
    """Return the error for a file that cannot be read."""
    advice = " Check the path." if isinstance(error, FileNotFoundError) else ""
    return WeightsError(f"{path}: the file cannot be read: {error.strerror or error}.{advice}")


def write_file(path: str | Path, data: bytes) -> None:
    """Write a file, or leave the one that is there; WeightsError says why it cannot be written."""
    path = Path(path)
    try:
        with replacing(path) as beside:
            beside.write_bytes(data)
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def writing_together() -> Iterator[Together]:
    """As `segcaffe.files.disk.together`; WeightsError says why a file cannot be written."""
    with together() as files:
        try:
            yield files
        except SegcaffeError:
            raise
        except OSError as error:
            raise unwritable(Path(error.filename or ""), error) from error


def unwritable(path: Path, error: OSError) -> WeightsError:
    """Return the error for a file that cannot be written."""
    return WeightsError(disk.unwritable(path, error))


def lock_prefix(prefix: str | Path, doing: str = "training") -> Lock:
    """Keep other processes from writing snapshots whose paths begin with ``prefix``, and remove what killed ones left.

    LockedError, which says who, if one does already; WeightsError where nothing can be written.
    """
    check_writable(prefix)
    held = lock(Path(prefix), doing, "choose another snapshot_prefix (on the command line, another --out)")
    name = Path(prefix).name
    with suppress(OSError):
        clean_folder(Path(prefix).parent, lambda left: left.startswith(f"{name}_iter_"))
    return held


def check_writable(prefix: str | Path) -> None:
    """Make sure that files whose paths begin with ``prefix`` can be written: make their folder if it is missing.

    WeightsError where it cannot be made, or is not writable.
    """
    folder = Path(f"{prefix}x").parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsError(
            f"Snapshots would go to {prefix}*, but the folder {folder} cannot be made: {error.strerror or error}. "
            "Choose another snapshot_prefix."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise WeightsError(f"Snapshots would go to {prefix}*, but the folder {folder} is not writable.")
