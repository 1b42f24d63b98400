"""Which function says what a layer becomes: registered by type, beside each other in the families of this folder."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

from segcaffe.errors import GraphError
from segcaffe.export.onnx.emitter import Emitter
from segcaffe.layers.base import Layer

Mapped = str | Sequence[str] | None
"""The name of the value that the first top has, the names for all tops, or nothing for a layer without tops."""
Mapping = Callable[..., Mapped]
M = TypeVar("M", bound=Mapping)
_mappings: dict[str, Mapping] = {}


def maps(*types: str) -> Callable[[M], M]:
    """Decorator of a function ``(layer, emit)`` that writes layers of these types; it returns its tops' values.

    The layer is set up and reshaped, so that its attributes and its blobs can be read. The function adds nodes by the
    `Emitter`, and refuses by it what it cannot write. It may be registered for several types, and may take any class
    of layer for its first argument.
    """

    def registered(function: M) -> M:
        for name in types:
            if name in _mappings:
                raise GraphError(f'Two functions write "{name}" as ONNX: {_mappings[name]} and {function}.')
            _mappings[name] = function
        return function

    return registered


def mapping(layer_type: str) -> Mapping | None:
    """The function that writes layers of a type, if there is one."""
    _discover()
    return _mappings.get(layer_type)


def mapped_types() -> list[str]:
    """All types that are written, sorted."""
    _discover()
    return sorted(_mappings)


def write_layer(layer: Layer, emit: Emitter) -> list[str]:
    """Write a layer by its function; the values of its tops."""
    function = mapping(layer.type)
    if function is None:
        emit.refuse_type()
    if layer.training:
        emit.refuse("it says phase: TRAIN, and what layers do while they learn is not written", "Remove that line")
    found = function(layer, emit)
    return [] if found is None else [found] if isinstance(found, str) else list(found)


@cache
def _discover() -> None:
    """Import every module of this folder: those that are families register themselves."""
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{package}.{module.name}")
