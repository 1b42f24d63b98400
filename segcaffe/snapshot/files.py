"""Whole files of weights and states, read and written; errors are sentences."""

from __future__ import annotations

import os
from pathlib import Path

from segcaffe.errors import WeightsError
from segcaffe.files.disk import replacing

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def read_file(path: str | Path) -> bytes:
    """Return a file's bytes; WeightsError naming it when it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def is_hdf5(path: str | Path) -> bool:
    """Whether a file starts as an HDF5 file does, whatever its name."""
    try:
        with Path(path).open("rb") as file:
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
        raise WeightsError(
            f"{path}: the file cannot be written: {error.strerror or error}. {_advice(path, error)}"
        ) from error


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


def _advice(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"Create the folder {path.parent} first."
    if isinstance(error, PermissionError):
        return f"Make the folder {path.parent} writable or choose another."
    return "Files written before are unharmed."
