"""From the ``type`` of a solver to the class that implements it."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, TypeVar

from segcaffe.errors import PrototxtError

if TYPE_CHECKING:
    from segcaffe.solver.solver import Solver

_classes: dict[str, type[Solver]] = {}
_MODULES = ("ada_delta", "ada_grad", "adam", "nesterov", "rms_prop", "sgd")
S = TypeVar("S", bound="type[Solver]")


def register(cls: S) -> S:
    """Class decorator: make a solver known under its ``type``."""
    _classes[cls.type] = cls
    return cls


def solver_types() -> list[str]:
    """All registered types, sorted."""
    for name in _MODULES:
        importlib.import_module(f"segcaffe.solver.{name}")
    return sorted(_classes)


def solver_class(type_name: str) -> type[Solver]:
    """Look up the class of a type; PrototxtError naming the nearest known one where there is none."""
    known = solver_types()
    if type_name in _classes:
        return _classes[type_name]
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(type_name.lower(), by_lower, n=1)
    hint = f' Did you mean "{by_lower[near[0]]}"?' if near else f" Known: {', '.join(known)}."
    raise PrototxtError(f'Solver: unknown type "{type_name}".{hint}')
