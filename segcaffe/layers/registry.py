"""From a type string to the class that implements it."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TypeVar

from segcaffe.errors import GraphError, nearest
from segcaffe.layers.base import Layer
from segcaffe.proto.foreign import origin_of

_classes: dict[str, type[Layer]] = {}
_discovered = False
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
    _discover()
    if type_name in _classes:
        return _classes[type_name]
    near = nearest(type_name, _classes, 3)
    if not type_name:
        raise GraphError(f'{where}: has no type. Write, for example, type: "Convolution".')
    hint = f"Nearest known: {', '.join(near)}." if near else "`segcaffe net --types` lists the known ones."
    raise GraphError(f'{where}: unknown layer type "{type_name}". {origin_of(type_name) or hint}')


def find_class(type_name: str) -> type[Layer]:
    """The class of a type, for what is known of it; `Layer` itself, of which nothing is known, where there is none."""
    _discover()
    return _classes.get(type_name, Layer)


def layer_types() -> list[str]:
    """All registered type strings, sorted."""
    _discover()
    return sorted(_classes)


def _discover() -> None:
    """Import every module below this package once, so that each registers its class."""
    global _discovered
    if _discovered:
        return
    package = __name__.rpartition(".")[0]
    for module in pkgutil.walk_packages([str(Path(__file__).parent)], f"{package}."):
        importlib.import_module(module.name)
    _discovered = True
