"""Files of compiled code in the folder of `cache_folder`: each appears whole or not at all, and says what it holds.

There is no index that several processes could write at the same time.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import pickle
import sys
import uuid
from pathlib import Path
from typing import Any

from numba.core import environment
from numba.core.serialize import dumps

from segcaffe.jit import cache_folder

_log = logging.getLogger("segcaffe")


def path_of(name: str, key: tuple[Any, ...]) -> Path | None:
    """Where code with a key is kept; None where nothing is."""
    folder = cache_folder.folder()
    return None if folder is None else folder / f"{name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"


def read(path: Path | None, key: tuple[Any, ...]) -> Any:
    """What was written for a key; None where nothing was, or something else."""
    if path is None:
        return None
    try:
        stored, payload = _Unpickler(io.BytesIO(path.read_bytes())).load()
    except (OSError, EOFError, pickle.UnpicklingError):
        return None
    cache_folder.mark_used(path)
    return payload if stored == key else None


def write(path: Path | None, key: tuple[Any, ...], payload: Any) -> None:
    """Keep something; where that fails a warning says so, once."""
    if path is None:
        return
    try:
        _write(path, dumps((key, payload)))
    except OSError as error:
        _warn_once(f"A compiled kernel could not be kept in {path.parent} ({error.strerror}); runs will repeat it.")


class _Unpickler(pickle.Unpickler):
    """Loads compiled functions without the modules of Numba from which parts of them came."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for."""
        if (module, name) == (environment.__name__, environment._rebuild_env.__name__):
            return _environment
        return super().find_class(module, name)


def _environment(module: str, constants: list[Any], name: str) -> Any:
    """What a compiled function holds of Python: constants, and its module's names.

    Only code that handles Python's objects looks at the names, which no function of Numba's own does that is part of a
    kernel; the modules that implement NumPy's functions take 20 ms to import, and 5 MB.
    """
    if not module.startswith("numba.") or module in sys.modules or environment.lookup_environment(name) is not None:
        return environment._rebuild_env(module, constants, name)
    made = environment.Environment({"__name__": module})
    made.consts[:] = constants
    made.env_name = name
    environment.Environment._memo[name] = made
    return made


def _write(path: Path, data: bytes) -> None:
    """Put a file in its place in one step, whatever other processes do there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not by tempfile, whose files other users could not read.
    unfinished = path.with_name(f".{uuid.uuid4().hex}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@functools.cache
def _warn_once(sentence: str) -> None:
    _log.warning(sentence)
