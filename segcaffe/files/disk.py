"""Files and folders that appear only when they are complete: at every moment the old one is there or the whole new one.

What is written goes to a place beside it, to the disk, and only then under its name, so that this holds after a crash.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segcaffe.errors import SegcaffeError
from segcaffe.files import system
from segcaffe.files.leftovers import clean_folder, clean_up, name_beside, remove
from segcaffe.files.there import check_name, exists, is_dir, is_file, is_link

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FULL_TEXTS = [os.strerror(number) for number in sorted(_FULL)]


@contextmanager
def replacing(path: Path, one_of_many: bool = False, folder: bool = False) -> Iterator[Path]:
    """Give an empty file (or folder) beside ``path`` to write to; it gets its name at the end, if nothing failed.

    What was there before stays until then; a file never takes the place of a folder. What is written to is new: whoever
    may write to the folder, too, cannot put a link in its place beforehand. What a link points to is written. A device
    or a pipe is given itself: replaced by a file it would be gone. Raises OSError.

    Parameters
    ----------
    one_of_many:
        For many small files, which would take ten times longer: neither waits for the disk (`sync_folders` does that
        at the end, once for all), nor looks each time for what killed processes left in the folder.
    folder:
        Whether it is a folder that is written.
    """
    if exists(path) and not (is_file(path) or is_dir(path)):
        yield path
        return
    path = _target(path)
    if is_dir(path) and not folder:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if one_of_many:
        _clean_once(path.parent.absolute())
    else:
        clean_up(path)
    beside = name_beside(path)
    create(beside, folder)
    try:
        yield beside
        if not one_of_many:
            _sync_all(beside)
        _put_in_place(beside, path)
    finally:
        remove(beside)
    if not one_of_many:
        _sync(path.parent)


class Together:
    """Files that belong together: all are on the disk before the first one gets its name."""

    def __init__(self) -> None:
        self._parts: dict[Path, Path] = {}

    def write(self, path: Path, content: bytes) -> None:
        """Write a file's content beside it, to the disk. Raises OSError."""
        path = _target(path)
        part = self._parts[path] = name_beside(path)
        with _about(path):
            clean_up(path)
            create(part)
            part.write_bytes(content)
            _sync(part)

    def publish(self, *paths: Path) -> None:
        """Rename the files, in this order. Raises OSError."""
        targets = [_target(path) for path in paths]
        for path in targets:
            with _about(path):
                self._parts[path].replace(path)
        for folder in {path.parent for path in targets}:
            _sync(folder)

    def discard(self) -> None:
        """Remove what has not got its name."""
        for part in self._parts.values():
            remove(part)


@contextmanager
def together() -> Iterator[Together]:
    """Give a `Together`; what it has not published by the end is removed."""
    files = Together()
    try:
        yield files
    finally:
        files.discard()


def sync_folders(*folders: Path) -> None:
    """Bring everything in folders to the disk, for files written as one of many; folders may be missing."""
    done = set()
    for folder in folders:
        if is_dir(folder) and (device := folder.stat().st_dev) not in done:
            done.add(device)
            system.sync_file_system(folder)


def create(path: Path, folder: bool = False) -> None:
    """Make an empty file (or folder) where there is nothing, not even a link that leads nowhere; OSError otherwise."""
    check_name(path)
    if folder:
        path.mkdir()
        return
    # With O_EXCL no link is followed, by POSIX; O_NOFOLLOW says so again, where there is one.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(path, flags, 0o666))


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Have an OSError say which file it is about: not where that was to be written first, or nothing at all."""
    try:
        yield
    except SegcaffeError:
        raise
    except OSError as error:
        error.filename = str(path)
        raise


@functools.cache
def _clean_once(folder: Path) -> None:
    """Remove from a folder what killed processes left there."""
    clean_folder(folder, lambda name: True)


def _target(path: Path) -> Path:
    return path.resolve() if is_link(path) else path


def _put_in_place(part: Path, path: Path) -> None:
    """Rename; what a folder replaces changes names with it and is removed.

    Where the system cannot do that, the old one steps aside for a moment (`leftovers.bring_back` ends such a moment
    that a kill has made longer).
    """
    if not is_dir(part) or not exists(path):
        part.replace(path)
        return
    if system.exchange(part, path):
        return
    aside = name_beside(path, "old")
    path.replace(aside)
    try:
        part.replace(path)
    except OSError:
        aside.replace(path)
        raise
    remove(aside)


def _sync_all(path: Path) -> None:
    """Bring a file, or a folder and all that is in it, to the disk."""
    for part in [path, *path.rglob("*")]:
        _sync(part)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk; systems that cannot open folders do those by themselves."""
    if is_dir(path) and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY if is_dir(path) else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def why_unwritable(error: Exception) -> str:
    """Why a file cannot be written, in words that name a full disk; libraries may tell of it by their own errors."""
    why = str((isinstance(error, OSError) and error.strerror) or error)
    full = isinstance(error, OSError) and error.errno in _FULL
    return f"the disk is full ({why})" if full or any(text in why for text in _FULL_TEXTS) else why


def unwritable(path: Path, error: OSError) -> str:
    """A sentence that says that and why a file cannot be written, and one that says what to do."""
    if path.parent.is_dir():
        advice = "Files written before are unharmed."
        if isinstance(error, PermissionError):
            advice = f"Make the folder {path.parent} writable or choose another."
        elif isinstance(error, (FileNotFoundError, IsADirectoryError)):
            advice = "Choose another name or folder."
    elif isinstance(error, FileNotFoundError):
        advice = f"Create the folder {path.parent} first."
    else:
        advice = "Choose another folder."
    return f"{path}: the file cannot be written: {why_unwritable(error)}. {advice}"


def why_unreadable(error: OSError, path: str | Path) -> str:
    """Why a file cannot be read, as the end of a sentence, and where the path begins if there is no such file."""
    missing = isinstance(error, FileNotFoundError)
    return f"{error.strerror or error}.{begins(path) if missing else ''}"


def begins(path: str | Path) -> str:
    """A sentence, after a space, on where a relative path begins; nothing for an absolute one."""
    return "" if Path(path).is_absolute() else f' The path begins in the folder you are in, "{Path.cwd()}".'
