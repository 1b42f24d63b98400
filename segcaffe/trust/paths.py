"""Names that come from data stay in the folder that the user named."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from segcaffe.errors import DataError

_NOT_IN_NAMES = frozenset("/\0\\:" if os.name == "nt" else "/\0")


def is_inside(folder: str | Path, path: str | Path) -> bool:
    """Whether a path lies below a folder when all links are followed; those on the way to the folder do not count."""
    try:
        return Path(path).resolve().is_relative_to(Path(folder).resolve())
    except (OSError, RuntimeError, ValueError):
        # Links in a circle, a null character: no such file can be.
        return False


def check_inside(folder: str | Path, path: str | Path, where: str) -> None:
    """DataError where a path made of a name from data leaves the folder: by .., from the root, or through a link."""
    if not is_inside(folder, path):
        raise DataError(
            f'{where}: "{path}" would be written outside of "{folder}": names may not lead out of the folder, by "..", '
            "as absolute paths or through links. Change the name, or remove the link."
        )


def as_file_name(name: str) -> str:
    """A name that may have any characters as that of one file or folder; what cannot be in it becomes "_"."""
    plain = "".join("_" if letter in _NOT_IN_NAMES else letter for letter in name)
    return "_" * len(plain) if plain in (".", "..") else plain or "_"


def leads_out(name: str) -> bool:
    """Whether a name in an archive would leave the folder where somebody unpacks it."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts
