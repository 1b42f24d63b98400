"""Layers as prototxt, in the layout of the recipes; names may hold anything."""

from __future__ import annotations

from collections.abc import Iterable

from segcaffe.proto.caffe_pb2 import LayerParameter
from segcaffe.proto.printer import write
from segcaffe.recipes import layers

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_HEAD = ("name", "type", "bottom", "top")


def escaped(name: str) -> str:
    """A name as it stands between the quotes of a string."""
    return name.translate(_ESCAPES)


def layer(type_name: str, name: str, bottoms: Iterable[str], tops: Iterable[str] | None = None, body: str = "") -> str:
    """Write a layer, as `segcaffe.recipes.layers.layer` does."""
    made = [name] if tops is None else tops
    return layers.layer(type_name, escaped(name), map(escaped, bottoms), map(escaped, made), body)


def written(message: LayerParameter) -> str:
    """Write a layer's message, each of its options in a line."""
    rest = LayerParameter()
    rest.CopyFrom(message)
    for name in _HEAD:
        rest.ClearField(name)
    return layer(escaped(message.type), message.name, message.bottom, message.top, "\n".join(options(rest)))


def options(message: LayerParameter) -> list[str]:
    """A message's fields as prototxt, each in a line."""
    found = list[str]()
    for line in write(message).splitlines():
        if line.startswith((" ", "}")) and found:
            found[-1] += f" {line.strip()}"
        else:
            found.append(line)
    return found
