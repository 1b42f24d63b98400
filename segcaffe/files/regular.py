"""Opening files to read them: regular ones alone, so that no name leads to a pipe that waits or a device without end.

Names come from files of others as well: lists, nets, the manifests of databases.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from segcaffe.files.there import is_link

_KINDS = (
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
    (stat.S_ISSOCK, "socket"),
)
_DO_NOT_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | _DO_NOT_WAIT
_AT_ONCE = 1 << 26


def opened(path: str | Path) -> BufferedReader:
    """Open a regular file for reading bytes; OSError for anything else, as for what is not there."""
    # Before it is opened: that alone makes some devices do something.
    _check(os.stat(path), path)  # noqa: PTH116 (half the time of a Path)
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | _DO_NOT_WAIT))  # noqa: SIM115
    try:
        _check(os.fstat(file.fileno()), path)
    except BaseException:
        file.close()
        raise
    return file


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a regular file, as many as it has when it is opened; OSError where it can't be read."""
    _check(os.stat(path), path)  # noqa: PTH116 (half the time of a Path)
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        _check(status, path)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        content = os.read(descriptor, status.st_size) if status.st_size <= _AT_ONCE else b""
    finally:
        os.close(descriptor)
    return content if len(content) == status.st_size else _read_in_parts(path)


def _read_in_parts(path: str | Path) -> bytes:
    """As `read_bytes`: of a large file, or one in a file system that gives fewer bytes at a time, by Python's loop."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            return file.read(size)
        except (MemoryError, OverflowError) as error:
            raise OSError(errno.ENOMEM, f"its {size} bytes are more than memory holds", str(path)) from error


def read_buffer(path: str | Path) -> bytearray:
    """As `read_bytes`, for bytes that become an array's own."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            content = bytearray(size)
        except (MemoryError, OverflowError) as error:
            raise OSError(errno.ENOMEM, f"its {size} bytes are more than memory holds", str(path)) from error
        del content[file.readinto(content) :]
        return content


def opened_inside(folder: Path, path: Path) -> BufferedReader:
    """As `opened`, for a file of a folder, a database's; OSError for one that is a link out of the folder."""
    if is_link(path) and not path.resolve().is_relative_to(folder.resolve()):
        raise OSError(errno.EINVAL, "It is a link out of the database's folder; copy the file there", str(path))
    return opened(path)


def _check(status: os.stat_result, path: str | Path) -> None:
    """OSError for what is neither a regular file nor a folder, which nobody can open as a file."""
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        return
    kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "special file")
    raise OSError(errno.EINVAL, f"It is a {kind}, and only regular files are read", str(path))
