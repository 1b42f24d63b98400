"""The folder in which compiled kernels are kept from run to run.

A folder belongs to the versions that compile and the settings that change what they make. A file in it belongs to
one content of sources: of the module its function stands in and of all that this imports. A checkout, a worktree and
an installed copy of the same content share files; an edit, even of a helper, gets others for all that use the helper.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
import scipy

KEEP_DAYS = 7
"""How long a file is kept after a process last loaded it."""
_SWEPT = "swept"
"""Its time is when old files were last removed."""
_DAY = 86400.0
_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = ("jit", "kernels", "threads")
_ELSEWHERE = ("data/snappy.py",)
"""Compiled code outside of those folders."""
_SETTINGS = ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK", "DEBUGINFO_DEFAULT")
"""What of Numba's configuration changes the code it makes, beside the processor, which is part of a file's name."""

_log = logging.getLogger("segcaffe")


def sources() -> list[Path]:
    """The files that compiled code is made from, in a fixed order; those for CUDA have a cache of their own."""
    found = (path for folder in _FOLDERS for path in (_PACKAGE / folder).rglob("*.py"))
    kernels = (path for path in found if not path.name.startswith("gpu") and path.parent.name != "cuda")
    return sorted([*kernels, *(_PACKAGE / name for name in _ELSEWHERE)])


def _state() -> list[tuple[int, int]] | None:
    """Times and sizes of the sources; None where they cannot be looked at (a frozen or zipped program)."""
    try:
        return [(status.st_mtime_ns, status.st_size) for status in map(os.stat, sources())]
    except OSError:
        return None


def _key() -> str:
    """Python and a hash of versions and settings."""
    # SciPy's BLAS is called by compiled code, which holds the size of its integers.
    blas = scipy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    versions = (numba.__version__, llvmlite.__version__, np.__version__, scipy.__version__, blas)
    settings = tuple(getattr(numba.config, name, None) for name in _SETTINGS)
    digest = hashlib.sha256(repr((versions, settings)).encode()).hexdigest()
    return f"{sys.implementation.cache_tag}-{digest[:20]}"


def contents() -> dict[str, str]:
    """For each module of `sources` a hash of its text and of the texts of all among them that it imports."""
    texts = {_module(path): path.read_text(encoding="utf-8") for path in sources()}
    imports = {module: _imported(text) & texts.keys() for module, text in texts.items()}
    return {module: _hash(texts, _reached(module, imports)) for module in texts}


def content(function: Callable[..., Any]) -> str:
    """What the code of a function depends on; for one of another package, its module and all of `sources`."""
    if function.__module__ in CONTENTS:
        return CONTENTS[function.__module__]
    place = Path(function.__code__.co_filename)
    return _hash(CONTENTS | {"": place.read_text(encoding="utf-8") if place.exists() else ""}, {"", *CONTENTS})


def _module(path: Path) -> str:
    """The name that a source is imported by."""
    parts = path.relative_to(_PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


_FROM = re.compile(r"^[ \t]*from (segcaffe[\w.]*) import (\([^)]*\)|.*)", re.MULTILINE)
_IMPORT = re.compile(r"^[ \t]*import (segcaffe[\w.]*)", re.MULTILINE)


def _imported(text: str) -> set[str]:
    """Modules that a source may import (names taken from a module may be modules too), with the packages around."""
    named = {*_IMPORT.findall(text)}
    for module, names in _FROM.findall(text):
        named.update({module, *(f"{module}.{name}" for name in re.findall(r"\w+", names))})
    return {name.rsplit(".", end)[0] for name in named for end in range(name.count(".") + 1)}


def _reached(module: str, imports: dict[str, set[str]]) -> set[str]:
    """A module and all that it imports, directly or not."""
    found, left = {module}, [module]
    while left:
        new = imports[left.pop()] - found
        found |= new
        left += new
    return found


def _hash(texts: dict[str, str], modules: set[str]) -> str:
    """A hash of the named ones of the texts."""
    digest = hashlib.sha256()
    for module in sorted(modules):
        digest.update(f"\n{module} {len(texts[module])}\n{texts[module]}".encode())
    return digest.hexdigest()


# All are taken before any other module of kernels is: what is hashed is what this process will compile.
_STATE_AT_START = _state()
CONTENTS = contents() if _STATE_AT_START else {}
KEY = _key() if _STATE_AT_START else None
"""The name of the folder; None where there are no sources to be hashed, and so nothing is kept."""


def unchanged() -> bool:
    """Whether the sources are still those that `CONTENTS` stands for: an edit during a run must not be kept."""
    return _state() == _STATE_AT_START


@functools.cache
def folder() -> Path | None:
    """The folder of this process, made where it was missing; None, with a warning, where there is no place for one."""
    if KEY is None:
        _log.warning("Compiled kernels are not kept: the package's source files cannot be read here.")
        return None
    for place in _places():
        chosen = place / KEY
        if not _usable(chosen):
            continue
        _remove_old(place, chosen)
        return chosen
    _log.warning(
        "Compiled kernels are not kept, so every run compiles them again: no folder for them can be written. "
        "Set NUMBA_CACHE_DIR to a folder that can."
    )
    return None


def _places() -> Iterator[Path]:
    """Where such folders may lie, best first."""
    if numba.config.CACHE_DIR:
        wanted = Path(numba.config.CACHE_DIR).absolute() / "segcaffe"
        yield wanted
        _log.warning("NUMBA_CACHE_DIR: %s cannot be written; compiled kernels are kept elsewhere.", wanted)
    user = _user_cache()
    if user is not None:
        yield user / "segcaffe"
    yield _PACKAGE / "kernels" / "__pycache__" / "compiled"
    temporary = _temporary()
    if temporary is not None:
        yield temporary


def _user_cache() -> Path | None:
    """The user's folder for what can be made again, by the system's custom; None where there is no home."""
    named = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        return Path(named)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if not home.is_absolute():
        return None
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache")


def _temporary() -> Path | None:
    """A folder of this user's among the temporary files; None where it is not this user's alone."""
    user = os.getuid() if sys.platform != "win32" else 0
    try:
        path = Path(tempfile.gettempdir()) / f"segcaffe-{user}"
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError:
        return None
    if sys.platform == "win32":  # The temporary folder itself is the user's.
        return path
    # What lies in the cache is run: whoever could write there could have anything run.
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == user and not status.st_mode & 0o077
    return path if private else None


def _usable(chosen: Path) -> bool:
    """Whether files can be written there; or, in the folder that NUMBA_CACHE_DIR names, at least be read."""
    try:
        chosen.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    if os.access(chosen, os.W_OK | os.X_OK):
        return True
    return bool(numba.config.CACHE_DIR) and Path(numba.config.CACHE_DIR).absolute() in chosen.parents


def _remove_old(place: Path, chosen: Path) -> None:
    """Once a day: remove every file that no process loaded for `KEEP_DAYS`, of this folder and of others'.

    A process that wants such a file after all compiles it again.
    """
    now, swept = time.time(), chosen / _SWEPT
    try:
        if swept.exists() and now - swept.stat().st_mtime < _DAY:
            return
        swept.touch()
        for path in place.glob("*/*"):
            if path.stat().st_mtime < now - KEEP_DAYS * _DAY:
                path.unlink(missing_ok=True)
        for folder in place.iterdir():
            if not any(folder.iterdir()):
                folder.rmdir()
    except OSError:  # Another process does the same; or they are not ours to remove.
        return


def mark_used(path: Path) -> None:
    """Let a file that was loaded count as used today."""
    try:
        if time.time() - path.stat().st_mtime > _DAY:
            os.utime(path)
    except OSError:  # It may be read but not changed.
        return
