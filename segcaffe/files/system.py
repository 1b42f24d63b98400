"""What the operating system does with files and Python has no function for."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path
from typing import Any

_HERE = -100
"""AT_FDCWD: relative paths begin in the current folder."""
_LINUX_EXCHANGE = 2
_MAC_SWAP = 2


def exchange(one: Path, other: Path) -> bool:
    """Let two files or folders change names in one step; False where the system or the file system cannot."""
    library = _library()
    names = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        return _worked(library, "renamex_np", *names, ctypes.c_uint(_MAC_SWAP))
    return _worked(library, "renameat2", _HERE, names[0], _HERE, names[1], ctypes.c_uint(_LINUX_EXCHANGE))


def sync_file_system(folder: Path) -> None:
    """Bring everything of the file system that a folder is in to the disk; of all file systems where that is all."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not _worked(_library(), "syncfs", descriptor):
            os.sync()
    finally:
        os.close(descriptor)


def _worked(library: Any, name: str, *arguments: Any) -> bool:
    function = getattr(library, name, None)
    return function is not None and function(*arguments) == 0


@functools.cache
def _library() -> Any:
    """The system's C library; None where Python itself is not linked to one."""
    return ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
