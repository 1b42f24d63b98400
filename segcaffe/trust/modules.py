"""Where a Python module would come from, found without running any code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import BuiltinImporter, ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple

from segcaffe.text.visible import one_line


class Code(NamedTuple):
    """A class that a net names: its module and its name in there."""

    module: str
    name: str

    def __str__(self) -> str:
        file = find_file(self.module) or "a file that is not found"
        return one_line(f'class {self.name} of the module "{self.module}", {file}')


def find_file(name: str) -> str | None:
    """The file of a module, sought in the current directory first and then where Python finds modules.

    Unlike ``importlib.util.find_spec`` it does not run the packages that a dotted name begins with. None where there is
    none, or one that only hooks of the import system know.
    """
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None) or _file(sys.modules[name].__spec__)
    importlib.invalidate_caches()
    places: Sequence[str] | None = [str(Path.cwd()), *sys.path]
    parts, spec = name.split("."), None
    for count in range(1, len(parts) + 1):
        if places is None or not all(parts[:count]):
            return None
        spec = _find(".".join(parts[:count]), places)
        places = spec.submodule_search_locations if spec is not None else None
    return _file(spec)


def _find(name: str, places: Sequence[str]) -> ModuleSpec | None:
    try:
        return BuiltinImporter.find_spec(name) or PathFinder.find_spec(name, places)
    except (ImportError, ValueError):
        return None


def _file(spec: ModuleSpec | None) -> str | None:
    """A file, or a word as "built-in"; of a package without a file of its own the folder."""
    if spec is None:
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or ()), None)
