"""Numba's ``njit`` for segcaffe: what it compiles is kept in the folder of `cache_folder`.

Numba's own cache looks only at the file a function stands in and files by its path. An edit to a helper in another
file would leave the callers' old code in use, and every copy of the package would be compiled anew.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult

from segcaffe.jit import cache_folder, kept, runtime
from segcaffe.jit.dispatcher import KernelDispatcher

CONTRACT = {"contract"}
"""For ``fastmath``: a product and a sum may be rounded once."""
REASSOC = {"reassoc"}
"""Sums may be reordered."""
SUMS = {"reassoc", "contract"}
"""Both."""
SUMS_OF_ANY_ZERO = SUMS | {"nsz"}
"""Both, and the sign of a zero does not count."""
FAST = SUMS_OF_ANY_ZERO | {"arcp"}
"""And quotients may be products with an inverse; NaN and infinity survive."""

KEPT: dict[tuple[str, str, int], KernelDispatcher] = {}
"""The functions whose code is kept, by their places."""


def njit(target: Callable[..., Any] | str | Sequence[str] | None = None, *, cache: bool = False, **options: Any) -> Any:
    """``numba.njit``, but ``cache=True`` keeps the code in segcaffe's own cache.

    Parameters
    ----------
    target:
        The function; or the signatures that it has, all others being refused; each is compiled when it is needed.
    cache:
        Whether to keep what is compiled.
    options:
        As of ``numba.njit``.

    Raises
    ------
    TypeError
        For ``cache`` with a function that closes over variables: its code would depend on more than the sources.
    """
    if not callable(target):
        return functools.partial(_compile, signatures=target or (), cache=cache, options=options)
    return _compile(target, (), cache, options)


def _compile(
    function: Callable[..., Any], signatures: str | Sequence[str], cache: bool, options: dict[str, Any]
) -> Any:
    if cache and function.__closure__:
        raise TypeError(f"{function.__qualname__}: functions with a closure cannot be cached.")
    made = numba.njit(**{"no_cfunc_wrapper": True, **options})(function)
    if made is function:  # NUMBA_DISABLE_JIT
        return function
    if "inline" in options:
        # Numba puts it into its callers before they are compiled.
        return made
    dispatcher = KernelDispatcher(function, made.locals, made.targetoptions)
    if cache:
        dispatcher._cache = KernelCache(function)
        KEPT[place_of(function)] = dispatcher
    dispatcher.declare([signatures] if isinstance(signatures, str) else signatures)
    return dispatcher


def place_of(function: Callable[..., Any]) -> tuple[str, str, int]:
    """Module, name and line of a function, by which its code is filed."""
    return function.__module__, function.__qualname__, function.__code__.co_firstlineno


class KernelCache(_Cache):  # type: ignore[misc]
    """The compiled versions of one function: a file for each signature and processor."""

    def __init__(self, function: Callable[..., Any]) -> None:
        module, name, line = place_of(function)
        self._content = cache_folder.content(function)
        self._name = f"{module.removeprefix('segcaffe.')}.{name}-{line}"
        self._enabled = True

    @property
    def cache_path(self) -> str | None:
        """The folder, None where nothing is kept."""
        folder = cache_folder.folder()
        return None if folder is None else str(folder)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for a signature, or None."""
        # All that running code needs of Numba. Its `refresh` brings what compiling takes, hundreds of modules.
        runtime.start(target_context)
        key = self._key(sig, target_context.codegen())
        payload = kept.read(self._path(key), key)
        return None if payload is None else CompileResult._rebuild(target_context, *payload)

    def has_overload(self, sig: Any, target_context: Any) -> bool:
        """Whether a file is kept for a signature."""
        path = self._path(self._key(sig, target_context.codegen()))
        return path is not None and path.exists()

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function, unless it holds addresses of this process or the sources have changed."""
        key = self._key(sig, data.codegen)
        path = self._path(key)
        if path is None or data.lifted or data.library.has_dynamic_globals or not cache_folder.unchanged():
            return
        kept.write(path, key, data._reduce())

    def enable(self) -> None:
        """Use the cache; it is used unless `disable` was called."""
        self._enabled = True

    def disable(self) -> None:
        """Neither load nor keep anything."""
        self._enabled = False

    def flush(self) -> None:
        """Remove every version of this function."""
        folder = cache_folder.folder()
        for path in folder.glob(f"{self._name}-*") if folder is not None else ():
            path.unlink(missing_ok=True)

    def _key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (self._name, self._content, sig, codegen.magic_tuple())

    def _path(self, key: tuple[Any, ...]) -> Path | None:
        return kept.path_of(self._name, key) if self._enabled else None
