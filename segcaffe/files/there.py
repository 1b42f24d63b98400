"""Whether there is a file or folder of a name, whatever the name: from lists and options come names that cannot be.

pathlib's own members raise for names that are too long, and for those in folders that may not be searched.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


def exists(path: str | Path) -> bool:
    """Whether there is something of that name that may be looked at."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: str | Path) -> bool:
    """Whether there is a file of that name, or a link to one."""
    return os.path.isfile(path)  # noqa: PTH113


def is_dir(path: str | Path) -> bool:
    """Whether there is a folder of that name, or a link to one."""
    return os.path.isdir(path)  # noqa: PTH112


def check_name(path: Path) -> None:
    """OSError for a name that no file can have, for which Python raises ValueError: one with a null character."""
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "no name can have a null character", str(path))


def is_link(path: str | Path) -> bool:
    """Whether there is a link of that name."""
    return os.path.islink(path)  # noqa: PTH114
