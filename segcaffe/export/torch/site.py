"""A layer as the function sees it that writes it: its options, its bottoms' expressions, and the file to be written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from segcaffe.export.torch.names import Names, call
from segcaffe.graph.graph import Node

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


class CannotWriteError(Exception):
    """A layer that has no counterpart: the first sentence says why, the others what to do."""


@dataclass(frozen=True)
class Held:
    """A tensor that holds a layer's parameter.

    Attributes
    ----------
    index:
        Of the parameter.
    shape:
        The tensor's, where that is not the parameter's.
    transposed:
        Whether the tensor is the transposed parameter.
    values:
        What makes the tensor of the layer where it is computed of several parameters; it does not learn then.
    layer:
        Whose the parameter is where that is another layer, which is written together with this one.
    """

    index: int
    shape: Shape | None = None
    transposed: bool = False
    values: Callable[[Any], Array] | None = None
    layer: Any = None

    def take(self, layer: Any) -> Array:
        """The tensor's values."""
        if self.values is not None:
            return self.values(layer)
        array: Array = np.array(layer.blobs[self.index].data)
        array = array.T if self.transposed else array
        taken: Array = np.ascontiguousarray(array if self.shape is None else array.reshape(self.shape))
        return taken

    def give_back(self, layer: Any, array: Array) -> Array:
        """Of an array like the tensor, its gradient for example, the one like the parameter."""
        given = array.T if self.transposed else array
        return np.reshape(given, layer.blobs[self.index].shape)


class Entry(NamedTuple):
    """A tensor of the written module's state: its key, whose it is, and how it holds that."""

    key: str
    layer: Any
    held: Held

    def buffer(self) -> Any:
        """The memory of the parameter, the same for layers that share it."""
        return self.layer.blobs[self.held.index].buffer("data")


@dataclass
class Contents:
    """What a module's file is made of, as its layers' writers add to it.

    Attributes
    ----------
    modules:
        Submodules and parameters, by name their constructors, in order.
    entries:
        The state.
    buffers:
        Tensors that do not learn, by name their first values.
    ties:
        Pairs of keys of which the first is to be the second's tensor.
    pieces:
        Functions and classes that the file needs.
    """

    modules: dict[str, str] = field(default_factory=dict)
    buffers: dict[str, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    ties: list[tuple[str, str]] = field(default_factory=list)
    pieces: set[str] = field(default_factory=set)
    attributes: Names = field(default_factory=Names.of_attributes)

    def kind(self, attribute: str) -> str:
        """The class of a submodule, as its constructor has it."""
        return self.modules[attribute].partition("(")[0]

    def add_module(self, name: str, constructor: str, entries: Sequence[Entry]) -> str:
        """The attribute of a new module or, where one like it has the same parameters already, that one's."""
        known = {entry.buffer(): entry for entry in self.entries if entry.held.values is None}
        shared = [known.get(entry.buffer()) for entry in entries]
        owners = {entry.key.partition(".")[0] for entry in shared if entry is not None}
        if entries and None not in shared and len(owners) == 1:
            (owner,) = owners
            held = [(entry.key.partition(".")[2], entry.held) for entry in entries]
            others = [(e.key.partition(".")[2], e.held) for e in self.entries if e.key.partition(".")[0] == owner]
            if self.modules[owner] == constructor and held == others:
                return owner
        attribute = self.attributes.take(name, "layer")
        self.modules[attribute] = constructor
        for entry, other in zip(entries, shared, strict=True):
            key = f"{attribute}.{entry.key.partition('.')[2]}".rstrip(".")
            if other is not None:
                if (other.held.shape, other.held.transposed) != (entry.held.shape, entry.held.transposed):
                    raise CannotWriteError(
                        f'it shares a parameter with layer "{other.layer.name}" but uses it in another layout. Give '
                        "each its own parameter"
                    )
                self.ties.append((key, other.key))
            self.entries.append(entry._replace(key=key))
        return attribute


@dataclass
class Site:
    """A layer's place in the file.

    Attributes
    ----------
    bottoms:
        Their expressions: names, or for types that wrap the first may be more.
    bottom_shapes, top_shapes:
        As the net has them now; sizes that may change are to be asked for in the written code.
    may_overwrite:
        Whether the layer works in place, and can do so without spoiling what the backward pass reads.
    follower:
        The Scale behind a BatchNorm, whose factors are this layer's own.
    """

    layer: Any
    node: Node
    bottoms: list[str]
    bottom_shapes: list[Shape]
    top_shapes: list[Shape]
    may_overwrite: bool
    contents: Contents
    follower: Any = None

    @property
    def param(self) -> Any:
        """The layer's message."""
        return self.node.param

    @property
    def x(self) -> str:
        """The first bottom."""
        return self.bottoms[0]

    @property
    def ndim(self) -> int:
        """The first bottom's number of axes."""
        return len(self.bottom_shapes[0])

    @property
    def term(self) -> str:
        """The first bottom as a factor or summand: in brackets where it is a sum or a product."""
        return self.x if re.fullmatch(r"[\w.]+(\(.*\))?", self.x) and _is_one(self.x) else f"({self.x})"

    @property
    def inplace(self) -> bool | None:
        """For the option ``inplace``: True or left out."""
        return True if self.may_overwrite else None

    def axis(self, axis: int) -> int:
        """An axis of the first bottom, counted from the front."""
        return axis % self.ndim if self.ndim else 0

    def module(self, constructor: str, held: Mapping[str, int | Held] | None = None) -> str:
        """Put a submodule into the module; returns ``self.<its name>``."""
        tensors = [(name, _held(one)) for name, one in (held or {}).items()]
        entries = [Entry(f".{name}", one.layer or self.layer, one) for name, one in tensors]
        return f"self.{self.contents.add_module(self.node.name, constructor, entries)}"

    def parameter(self, index: int, suffix: str = "", shape: Shape | None = None, value: int = 0) -> str:
        """Put a parameter of the layer into the module as an nn.Parameter, 0 or 1; returns ``self.<its name>``."""
        made = shape if shape is not None else tuple(self.layer.blobs[index].shape)
        entry = Entry("", self.layer, Held(index, shape))
        constructor = call("nn.Parameter", call("torch.ones" if value else "torch.zeros", *(made or ("()",))))
        name = f"{self.node.name}_{suffix}" if suffix else self.node.name
        return f"self.{self.contents.add_module(name, constructor, [entry])}"

    def buffer(self, values: Array, suffix: str) -> str:
        """Put constant numbers, which do not learn, into the module as a buffer; returns ``self.<its name>``."""
        name = self.contents.attributes.take(f"{self.node.name}_{suffix}", "layer")
        self.contents.buffers[name] = call("torch.zeros", *values.shape)
        self.contents.entries.append(Entry(name, self.layer, Held(0, values=lambda layer: values)))
        return f"self.{name}"

    def constant(self, text: str, suffix: str) -> str:
        """Put a tensor that the source itself tells into the module; returns ``self.<its name>``."""
        name = self.contents.attributes.take(f"{self.node.name}_{suffix}", "layer")
        self.contents.buffers[name] = f"{text}, persistent=False"
        return f"self.{name}"

    def piece(self, name: str) -> str:
        """A function or class that comes with the file."""
        self.contents.pieces.add(name)
        return name

    def fail(self, reason: str) -> CannotWriteError:
        """Build the error for options that have no counterpart; the caller raises it."""
        return CannotWriteError(reason)


def _is_one(text: str) -> bool:
    """Whether the first bracket, if there is one, ends where the text does."""
    depth = 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == ")" and depth == 0 and i < len(text) - 1:
            return False
    return True


def _held(one: int | Held) -> Held:
    return one if isinstance(one, Held) else Held(one)
