"""Files and folders that appear only when they are complete: at every moment the old one is there or the whole new one.

What is written goes to a place beside it, to the disk, and only then under its name, so that this holds after a crash.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DAY = 24 * 3600.0
_BESIDE = re.compile(r"\.(.+)\.([0-9a-f]{8})-(\d+)(?:-[0-9a-f]{8})?\.tmp")
"""Names of what is being written: the later name, place and number of the process, and something by chance."""


@contextmanager
def replacing(path: Path, one_of_many: bool = False, folder: bool = False) -> Iterator[Path]:
    """Give an empty file (or folder) beside ``path`` to write to; it gets its name at the end, if nothing failed.

    What was there before stays until then. What is written to is new: whoever may write to the folder, too, cannot put
    a link in its place beforehand. What a link points to is written. A device or a pipe is given itself:
    replaced by a file it would be gone. Raises OSError.

    Parameters
    ----------
    one_of_many:
        For many small files, which would take ten times longer: neither waits for the disk (a power failure may leave
        an empty file then), nor looks through the folder for what killed processes left on the way to that name.
    folder:
        Whether it is a folder that is written.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        yield path
        return
    path = path.resolve() if path.is_symlink() else path
    beside = path.with_name(f".{path.name}.{_place()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    if not one_of_many:
        _remove_leftovers(path)
    create(beside, folder)
    try:
        yield beside
        for part in [] if one_of_many else [beside, *beside.rglob("*")]:
            _sync(part)
        _put_in_place(beside, path)
    finally:
        remove(beside)
    if not one_of_many:
        _sync(path.parent)


def create(path: Path, folder: bool = False) -> None:
    """Make an empty file (or folder) where there is nothing, not even a link that leads nowhere; OSError otherwise."""
    if folder:
        path.mkdir()
        return
    # With O_EXCL no link is followed, by POSIX; O_NOFOLLOW says so again, where there is one.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(path, flags, 0o666))


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


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk; systems that cannot open folders do those by themselves."""
    if path.is_dir() and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(path: Path) -> None:
    """Remove what other processes began to write under that name and never will finish.

    Those are the processes of this machine (and container) that no longer run; of others that is not known here,
    so their files must be a day old: no write takes that long.
    """
    for file in path.parent.iterdir():
        match = _BESIDE.fullmatch(file.name)
        if match is None or match[1] != path.name:
            continue
        with contextlib.suppress(FileNotFoundError):
            ours = match[2] == _place() and os.name == "posix"
            if (ours and not _runs(int(match[3]))) or time.time() - file.stat().st_mtime > _DAY:
                remove(file)


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


def why_unreadable(error: OSError, path: str | Path) -> str:
    """Why a file cannot be read, as the end of a sentence, and where the path begins if there is no such file."""
    missing = isinstance(error, FileNotFoundError)
    return f"{error.strerror or error}.{begins(path) if missing else ''}"


def begins(path: str | Path) -> str:
    """A sentence, after a space, on where a relative path begins; nothing for an absolute one."""
    return "" if Path(path).is_absolute() else f' The path begins in the folder you are in, "{Path.cwd()}".'
