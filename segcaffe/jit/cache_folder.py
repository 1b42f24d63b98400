"""The folder in which compiled kernels are kept from run to run.

A folder belongs to one content of the kernels' sources: its name holds the release and a hash of every file that
compiled code is made from, of the versions that compile it and of the settings that change it. A checkout, a worktree
and an installed copy of the same content share one; an edit or another release, even of a helper only, gets another.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import llvmlite
import numba
import numpy as np
import scipy

from segcaffe.version import __version__

if sys.platform != "win32":
    import fcntl

KEEP_DAYS = 7
"""How long the folder of another content is kept after a process last began to use it."""
_LOCK = "in-use"
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
    """Release, Python and a hash of sources, versions and settings."""
    # SciPy's BLAS is called by compiled code, which holds the size of its integers.
    blas = scipy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    versions = (numba.__version__, llvmlite.__version__, np.__version__, scipy.__version__, blas)
    settings = tuple(getattr(numba.config, name, None) for name in _SETTINGS)
    content = hashlib.sha256(repr((versions, settings)).encode())
    for path in sources():
        text = path.read_bytes()
        content.update(f"\n{path.relative_to(_PACKAGE).as_posix()} {len(text)}\n".encode() + text)
    return f"{__version__}-{sys.implementation.cache_tag}-{content.hexdigest()[:20]}"


# Both are taken before any other module of kernels is: what is hashed is what this process will compile.
_STATE_AT_START = _state()
KEY = _key() if _STATE_AT_START else None
"""The name of the folder; None where there are no sources to be hashed, and so nothing is kept."""


def unchanged() -> bool:
    """Whether the sources are still those that `KEY` stands for: an edit during a run must not be kept under it."""
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
        _begin_use(chosen)
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


def _begin_use(chosen: Path) -> None:
    """Mark the folder as used now, and hold its lock until the process ends."""
    try:
        os.utime(chosen)
        # Never closed: the lock goes with the process.
        handle = os.open(chosen / _LOCK, os.O_RDONLY | os.O_CREAT, 0o666)
        if sys.platform != "win32":
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return


def _remove_old(place: Path, chosen: Path) -> None:
    """Remove the folders of other contents that nobody began to use for `KEEP_DAYS` and no process is using."""
    limit = time.time() - KEEP_DAYS * 86400
    try:
        others = [entry for entry in place.iterdir() if entry.name != chosen.name and entry.is_dir()]
        old = [entry for entry in others if entry.stat().st_mtime < limit]
    except OSError:
        return
    for entry in old:
        if not _in_use(entry):
            # A process that used it after all would compile again what it finds missing.
            shutil.rmtree(entry, ignore_errors=True)


def _in_use(entry: Path) -> bool:
    """Whether a process holds the folder's lock."""
    if sys.platform == "win32":
        return False
    try:
        handle = os.open(entry / _LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False
