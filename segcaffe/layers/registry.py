"""From a type string to the class that implements it, whose file is imported when it is first asked for."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import TypeVar

from segcaffe.errors import GraphError, nearest
from segcaffe.layers.base import Layer
from segcaffe.proto.foreign import origin_of

_classes: dict[str, type[Layer]] = {}
L = TypeVar("L", bound=type[Layer])


def register(cls: L) -> L:
    """Class decorator: make a layer type known under its class name."""
    name = cls.__name__
    if name in _classes and _classes[name] is not cls:
        raise GraphError(f'Two classes are registered for layer type "{name}": {_classes[name]} and {cls}.')
    _classes[name] = cls
    return cls


def layer_class(type_name: str, where: str = "layer") -> type[Layer]:
    """Look up the class of a type; GraphError naming the nearest known types where there is none."""
    cls = _find(type_name)
    if cls is not None:
        return cls
    near = nearest(type_name, _classes, 3)
    if not type_name:
        raise GraphError(f'{where}: has no type. Write, for example, type: "Convolution".')
    hint = f"Nearest known: {', '.join(near)}." if near else "`segcaffe net --types` lists the known ones."
    raise GraphError(f'{where}: unknown layer type "{type_name}". {origin_of(type_name) or hint}')


def find_class(type_name: str) -> type[Layer]:
    """The class of a type, for what is known of it; `Layer` itself, of which nothing is known, where there is none."""
    return _find(type_name) or Layer


def layer_types() -> list[str]:
    """All registered type strings, sorted."""
    _discover()
    return sorted(_classes)


def _find(type_name: str) -> type[Layer] | None:
    """The class of a type, from the file that is named like it or, where that has it not, from all of them."""
    module = _modules().get(type_name.lower())
    if type_name not in _classes and module is not None:
        importlib.import_module(module)
    if type_name not in _classes:
        _discover()
    return _classes.get(type_name)


@cache
def _modules() -> dict[str, str]:
    """The modules of the families by the names of their files, without underscores."""
    files = sorted(Path(__file__).parent.glob("*/*.py"))
    package = __name__.rpartition(".")[0]
    return {file.stem.replace("_", ""): f"{package}.{file.parent.name}.{file.stem}" for file in files}


@cache
def _discover() -> None:
    """Import every module of the families once, so that each registers its class."""
    for module in _modules().values():
        importlib.import_module(module)
