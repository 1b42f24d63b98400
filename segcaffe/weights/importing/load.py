"""Importing: a file's tensors into the parameters of a net."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segcaffe.convert.weights import renamed
from segcaffe.errors import WeightsError, did_you_mean
from segcaffe.graph.graph import Graph
from segcaffe.layers.base import Layer
from segcaffe.text.words import counted
from segcaffe.weights.importing.fit import Assignment
from segcaffe.weights.importing.initializers import read_onnx
from segcaffe.weights.importing.layout import layout
from segcaffe.weights.importing.match import NAME, Matches, match, undecided, unused
from segcaffe.weights.importing.recurrent import as_caffe
from segcaffe.weights.importing.source import COUNTER, Module, Source, Tensor
from segcaffe.weights.importing.state_dict import read_safetensors, read_torch
from segcaffe.weights.importing.units import Slot, Unit, units

_READERS = {
    ".safetensors": read_safetensors,
    ".pt": read_torch,
    ".pth": read_torch,
    ".bin": read_torch,
    ".onnx": read_onnx,
}


@dataclass(frozen=True)
class Row:
    """A line of the table: a parameter, what it gets, and what decided that."""

    assignment: Assignment
    why: str


@dataclass(frozen=True)
class Report:
    """What was assigned.

    Attributes
    ----------
    rows:
        A row for each parameter, in the net's order.
    unused:
        Names of tensors that no parameter got, with the reason of those that are no weights.
    left:
        What is said of the layers that got nothing, and keep their values; empty if none.
    notes:
        What else one should know, as sentences.
    """

    rows: tuple[Row, ...]
    unused: Mapping[str, str]
    left: str
    notes: tuple[str, ...]


def read(path: Path, renames: Mapping[str, str]) -> Source:
    """Read a file of another framework, by the end of its name; tensors renamed, as layers by ``weights rename``."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise WeightsError(
            f"{path}: the name tells what is imported: {', '.join(_READERS)}. Received: {path.suffix or 'no suffix'}."
        )
    source = reader(path)
    if not renames:
        return Source(tuple(map(as_caffe, source.modules)), source.ordered, source.left_out)
    names = renamed(list(source.tensors), renames)
    # By their new names they may belong to other modules; with an operator's roles, where it has told them.
    modules = []
    for module in source.modules:
        owner = names[next(iter(module.tensors.values())).name]
        cut = max(owner.rfind("."), owner.rfind("/"))
        modules.append(Module(owner[:cut] if cut > 0 else owner, module.tensors))
    return Source(tuple(map(as_caffe, modules)), source.ordered, source.left_out)


def assign(graph: Graph, layers: Sequence[Layer], source: Source, pairs: Mapping[str, str], partial: bool) -> Report:
    """Write the tensors into the layers' parameters, once it is clear for all which they get.

    Parameters
    ----------
    pairs:
        The user's decisions: by layer, or ``layer/index``, the module or tensor.
    partial:
        Whether layers may get nothing.

    Raises
    ------
    WeightsError
        Parameters and tensors do not fit, or it is not clear which belong together; nothing is written.
    """
    own = units(graph, layers)
    mapped = _mapped_tensors(own, source, pairs)
    direct, rest = _direct(own, source, mapped)
    free = _without(source, {row.assignment.tensor.name for row in direct if row.assignment.tensor is not None})
    found = match(rest, free, _mapped_modules(rest, free, pairs))
    open_ = undecided(rest, free, found)
    if open_ and not (partial and not any(len(modules) for modules in found.open.values())):
        raise WeightsError(
            f"It is not clear which tensors these get: {open_}.{_folded(rest, free, found)} "
            "Say so in a file of lines LAYER = MODULE, and give it "
            "with --map; or rename tensors with --rename; --allow-partial leaves layers as they are for which nothing "
            "in the file fits."
        )
    rows = direct + [
        Row(assignment, found.why[unit]) for unit in sorted(found.fits) for assignment in found.fits[unit].assignments
    ]
    rows.sort(key=lambda row: _place(row.assignment.slot, layers))
    for row in rows:
        row.assignment.slot.layer.blobs[row.assignment.slot.index].data[...] = row.assignment.values
    leftover = [tensor for module in unused(free, found) for tensor in module.tensors.values()]
    hidden = {name: why for name, why in source.left_out.items() if not name.endswith(COUNTER)}
    return Report(tuple(rows), {tensor.name: "" for tensor in leftover} | hidden, open_, tuple(_notes(rows, leftover)))


def _folded(rest: Sequence[Unit], source: Source, found: Matches) -> str:
    """What is to be said where a net normalizes by statistics that the file has not."""
    wanted = any(slot.role == "running_mean" for unit in found.open for slot in rest[unit].slots)
    if not wanted or any("running_mean" in module.tensors for module in source.modules):
        return ""
    return (
        " The file has no running means: its BatchNorm layers may have become part of convolutions when it was "
        "exported. Take the state dict, or export with do_constant_folding=False and training=TrainingMode.PRESERVE."
    )


def _place(slot: Slot, layers: Sequence[Layer]) -> tuple[int, int]:
    return next(i for i, layer in enumerate(layers) if layer is slot.layer), slot.index


def _mapped_tensors(own: Sequence[Unit], source: Source, pairs: Mapping[str, str]) -> dict[str, str]:
    """Of the user's decisions those about single parameters; WeightsError for a name that there is not."""
    slots = {slot.name for unit in own for slot in unit.slots}
    layers = {layer.name for unit in own for layer in unit.layers}
    known = [*source.tensors, *(module.name for module in source.modules)]
    for mine, theirs in pairs.items():
        if mine not in slots | layers:
            raise WeightsError(
                f'--map: the net has no layer with parameters "{mine}".{did_you_mean(mine, layers | slots)}'
            )
        if theirs not in known:
            raise WeightsError(f'--map: the file has no tensor or module "{theirs}".{did_you_mean(theirs, known)}')
    return {mine: theirs for mine, theirs in pairs.items() if mine in slots and mine not in layers}


def _direct(own: Sequence[Unit], source: Source, mapped: Mapping[str, str]) -> tuple[list[Row], list[Unit]]:
    """Units all of whose parameters have a tensor by the map, or one called ``layer/index``; and the other units."""
    tensors, rows, rest = source.tensors, list[Row](), list[Unit]()
    for unit in own:
        names = {slot.name: mapped.get(slot.name, slot.name) for slot in unit.slots}
        if not any(name in tensors for name in names.values()):
            rest.append(unit)
            continue
        for slot in unit.slots:
            name = names[slot.name]
            why = "map" if slot.name in mapped else NAME
            if name in tensors:
                laid = layout(slot, tensors[name], named=True)
                if laid is None:
                    raise WeightsError(
                        f"{slot.name} has the shape {slot.shape}, {name} in the file {tensors[name].shape}. Change the "
                        "net, or say with --map which tensor the parameter gets."
                    )
                rows.append(Row(Assignment(slot, tensors[name], laid.values, laid.how), why))
            elif slot.default is not None:
                filled = np.full(slot.shape, slot.default, np.float32)
                rows.append(Row(Assignment(slot, None, filled, f"none: filled with {slot.default:g}"), why))
            else:
                raise WeightsError(f"The file has no tensor {name}, though it has others of layer {slot.layer.name}.")
    return rows, rest


def _without(source: Source, names: set[str]) -> Source:
    """The source without tensors that have found their place."""
    modules = [
        Module(module.name, {role: tensor for role, tensor in module.tensors.items() if tensor.name not in names})
        for module in source.modules
    ]
    return Source(tuple(module for module in modules if module.tensors), source.ordered, source.left_out)


def _mapped_modules(own: Sequence[Unit], source: Source, pairs: Mapping[str, str]) -> dict[int, int]:
    """Of the user's decisions those about whole modules, by numbers."""
    numbers = {module.name: number for number, module in enumerate(source.modules)}
    return {
        unit: numbers[pairs[layer.name]]
        for unit in range(len(own))
        for layer in own[unit].layers
        if pairs.get(layer.name) in numbers
    }


def _notes(rows: Iterable[Row], unused: Sequence[Tensor]) -> Iterable[str]:
    """What happened to values on their way, and those that are no numbers; what could be missed of what is not used."""
    for row in rows:
        slot = row.assignment.slot
        could = [tensor.name for tensor in unused if tensor.values.size == math.prod(slot.shape)]
        if row.assignment.tensor is None and slot.role and could:
            yield f"{slot.name} had no tensor, though the file has {could[0]} of its size, which is not used."
    tensors = [row.assignment.tensor for row in rows if row.assignment.tensor is not None]
    for stored, what in (("float64", "rounded to single precision"), ("float16", "kept exactly, in single precision"),
                         ("bfloat16", "kept exactly, in single precision")):  # fmt: skip
        count = sum(tensor.stored == stored for tensor in tensors)
        if count:
            yield f"{counted(count, 'tensor')} of {stored}: {what}."
    for tensor in tensors:
        wrong = int(np.count_nonzero(~np.isfinite(tensor.values)))
        if wrong:
            yield f"{tensor.name}: {wrong} of {tensor.values.size} values are NaN or infinite."
