"""Whether a module of another framework fits a unit of a net, and what then becomes of each parameter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segcaffe.weights.importing.layout import layout
from segcaffe.weights.importing.source import Array, Module, Tensor
from segcaffe.weights.importing.units import Slot, Unit

_NEUTRAL = {"bias": 0.0, "weight": 1.0}
"""Values of tensors that change nothing, so that a net may lack the parameter."""


@dataclass(frozen=True)
class Assignment:
    """What a parameter gets.

    Attributes
    ----------
    tensor:
        The tensor, or None where the module has none and the parameter's value follows without one.
    values:
        In the parameter's shape.
    how:
        "", "reshaped" or "transposed"; of a parameter without tensor what it is filled with.
    """

    slot: Slot
    tensor: Tensor | None
    values: Array
    how: str


@dataclass(frozen=True)
class Fit:
    """A module for a unit.

    Attributes
    ----------
    exact:
        Whether each has nothing that the other lacks.
    """

    assignments: tuple[Assignment, ...]
    exact: bool


def fit(unit: Unit, module: Module) -> Fit | str:
    """Try a module: what each parameter gets, or why it does not fit."""
    found = []
    exact = True
    used = set()
    for slot in unit.slots:
        tensor = _tensor(unit, slot, module)
        if tensor is None and slot.default is None:
            return f"{module.name} has no {slot.role} for {slot.name}"
        if tensor is None:
            exact = exact and not slot.role
            filled = np.full(slot.shape, slot.default, np.float32)
            found.append(Assignment(slot, None, filled, f"none: filled with {slot.default:g}"))
            continue
        laid = layout(slot, tensor)
        if laid is None:
            return f"{tensor.name} has the shape {tensor.shape}, {slot.name} {slot.shape}"
        used.add(tensor.name)
        found.append(Assignment(slot, tensor, laid.values, laid.how))
    for role, tensor in module.tensors.items():
        if tensor.name in used:
            continue
        normalizes = "running_mean" in module.tensors
        neutral = _NEUTRAL.get(role) if role == "bias" or normalizes else None
        if neutral is None or not np.all(tensor.values == neutral):
            return f"{unit.name} has no parameter for {tensor.name}, of shape {tensor.shape}"
        exact = False
    return Fit(tuple(found), exact)


def _tensor(unit: Unit, slot: Slot, module: Module) -> Tensor | None:
    """The tensor of a parameter's role; of a module that has one alone that, for a unit that wants one alone."""
    if len(unit.slots) == len(module.tensors) == 1:
        return next(iter(module.tensors.values()))
    return module.tensors.get(slot.role) if slot.role else None
