"""From the ``type`` of a solver to the class that implements it, and from a solver file to the solver."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from segcaffe.errors import PrototxtError, did_you_mean
from segcaffe.proto.caffe_pb2 import SolverParameter
from segcaffe.proto.text import read_solver
from segcaffe.proto.upgrade import upgrade_solver
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
    hint = did_you_mean(type_name, known) or f" Known: {', '.join(known)}."
    raise PrototxtError(f'Solver: unknown type "{type_name}".{hint}')


def get_solver(
    param: SolverParameter | str | Path,
    variables: Mapping[str, str] | None = None,
    net_options: Mapping[str, Any] | None = None,
) -> Solver:
    """Build the solver that a prototxt file, or a message, describes: the class follows its ``type``.

    Parameters
    ----------
    variables:
        Values of ``${NAME}`` templates in the file and in the nets it names.
    net_options:
        Keyword arguments of `Net` that say how the nets run, such as ``fuse``.
    """
    if not isinstance(param, SolverParameter):
        message = read_solver(param, variables)
        return solver_class(message.type)(message, variables=variables, filename=param, net_options=net_options)
    message = SolverParameter()
    message.CopyFrom(param)
    return solver_class(upgrade_solver(message).type)(message, variables=variables, net_options=net_options)
