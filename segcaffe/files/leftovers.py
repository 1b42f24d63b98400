"""What is being written, under hidden names, and what killed processes left of it.

A name says what the file (or folder) is to be called, the place and the number of the process, and something by chance.
What ends in ``.tmp`` is not whole yet. What ends in ``.old`` stepped aside for a new folder of its name, where the
system cannot exchange two; if the process was killed before the new one came, it goes back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from segcaffe.files import process
from segcaffe.files.there import is_dir, is_link

_DAY = 24 * 3600.0
_NAME = re.compile(r"\.(.+)\.([0-9a-f]{8})-(\d+)(?:-[0-9a-f]{8})?\.(tmp|old)", re.DOTALL)


def name_beside(path: Path, kind: str = "tmp") -> Path:
    """A hidden name beside a path, as this process uses it; OSError for a path without a name (``.``, ``/``)."""
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return path.with_name(f".{path.name}.{process.place()}-{os.getpid()}-{secrets.token_hex(4)}.{kind}")


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if is_dir(path) and not is_link(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def clean_up(path: Path) -> None:
    """Remove what killed processes left on the way to a name, and bring back what they put aside."""
    clean_folder(path.parent, lambda name: name == path.name)


def clean_folder(folder: Path, ours: Callable[[str], bool]) -> None:
    """As `clean_up`, for all names in a folder that ``ours`` says yes to."""
    for left, name, kind in _left(folder):
        if ours(name):
            _bring_back(left, folder / name, kind)
            with contextlib.suppress(FileNotFoundError):
                remove(left)


def bring_back(path: Path) -> None:
    """If there is nothing of that name, because a process was killed as it replaced a folder: bring the old one back.

    For readers: nothing else is touched, and where the folder may not be written to, nothing at all.
    """
    if os.path.lexists(path):
        return
    with contextlib.suppress(OSError):
        for left, name, kind in _left(path.parent):
            if name == path.name:
                _bring_back(left, path, kind)


def _bring_back(left: Path, path: Path, kind: str) -> None:
    if kind == "old" and not os.path.lexists(path):
        left.rename(path)


def _left(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """What is left in a folder of processes that will never finish it: its path, later name and kind.

    Those are the processes of this machine (and container) that no longer run; of others that is not known here,
    so what is theirs must be a day old: no write takes that long.
    """
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        with contextlib.suppress(FileNotFoundError):
            ended = match[2] == process.place() and not process.runs(int(match[3]))
            if ended or time.time() - path.stat().st_mtime > _DAY:
                yield path, match[1], match[4]
