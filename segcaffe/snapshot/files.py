"""Whole files: read with an error that is a sentence, written under another name first and then renamed."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import socket
import time
from pathlib import Path

from segcaffe.errors import WeightsError

_DAY = 24 * 3600.0
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
    """Write a file so that at every moment either the old one or the whole new one is there, even after a crash.

    The bytes go to a file beside it, to the disk, and only then under the name. Such files that killed processes left
    behind are removed. WeightsError says why a file cannot be written; what was there before stays.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{_place()}-{os.getpid()}.tmp")
    try:
        _remove_leftovers(path)
        try:
            _write_through(beside, data)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        _sync_folder(path.parent)
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


def _remove_leftovers(path: Path) -> None:
    """Remove what other processes began to write under that name and never will finish.

    Those are the processes of this machine (and container) that no longer run; of others that is not known here,
    so their files must be a day old: no write takes that long.
    """
    pattern = re.compile(rf"\.{re.escape(path.name)}\.([0-9a-f]{{8}})-(\d+)\.tmp")
    for file in path.parent.iterdir():
        match = pattern.fullmatch(file.name)
        if match is None:
            continue
        with contextlib.suppress(FileNotFoundError):
            ours = match[1] == _place() and os.name == "posix"
            if (ours and not _runs(int(match[2]))) or time.time() - file.stat().st_mtime > _DAY:
                file.unlink()


@functools.cache
def _place() -> str:
    """Eight letters for the machine and, on Linux, the container: where numbers of processes mean the same."""
    namespace = Path("/proc/self/ns/pid")
    container = str(namespace.readlink()) if namespace.exists() else ""
    return hashlib.sha256(f"{socket.gethostname()} {container}".encode()).hexdigest()[:8]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` last; systems that cannot open folders do it by themselves."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _advice(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"Create the folder {path.parent} first."
    if isinstance(error, PermissionError):
        return f"Make the folder {path.parent} writable or choose another."
    return "Files written before are unharmed."
