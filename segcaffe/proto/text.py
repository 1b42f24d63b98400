"""Text configurations (prototxt) to messages and back.

The parser is our own, driven by the schema's descriptors, so that every error names file, line, column, layer and
field. It accepts what protobuf's text format accepts: ``name: {`` and ``name {``, ``<`` ``>`` for braces, single and
double quotes, adjacent strings, lists, ``,`` and ``;`` behind a field, ``#`` comments, decimal, hexadecimal and octal
integers, ``1.``, ``.5``, ``1f``, ``inf``, ``nan``.

``read_net`` also remembers where each layer stands; ``layer_places`` tells.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from segcaffe.proto.caffe_pb2 import NetParameter, SolverParameter
from segcaffe.proto.content import NET, SOLVER
from segcaffe.proto.parser import Parser
from segcaffe.proto.printer import write
from segcaffe.proto.source import Source, read_text
from segcaffe.proto.template import expand, template_names
from segcaffe.proto.tokens import outer_fields
from segcaffe.proto.upgrade import upgrade_net, upgrade_solver

__all__ = ["layer_places", "outer_fields", "parse", "read", "read_net", "read_sketch", "read_solver", "write"]

M = TypeVar("M", bound=Message)

# Messages take no attributes and no weak references, so the places of the nets read last are kept beside them. The net
# is held too: while it is, no other object can have its id.
_KEPT_NETS = 16
_places: OrderedDict[int, tuple[NetParameter, list[str]]] = OrderedDict()


def parse(text: str, message: M, filename: str = "<string>") -> M:
    """Fill ``message`` from the text format and return it.

    Raises PrototxtError: ``file:line:column: in layer "conv1" (Convolution), field "x": rule. Received: ...``.
    """
    Parser(Source.plain(text, filename)).message(message)
    return message


def read(path: str | Path, message_class: type[M], variables: Mapping[str, str] | None = None) -> M:
    """Return the message in a text file, its template names filled in; nothing is upgraded."""
    message, _ = _read(path, message_class, variables)
    return message


def read_net(path: str | Path, variables: Mapping[str, str] | None = None) -> NetParameter:
    """Return the net in a text file, template names filled in and old notations upgraded."""
    net, parser = _read(path, NetParameter, variables)
    places = parser.layer_places(net)
    upgrade_net(net, where=str(path))
    _remember(net, _follow(places, [layer.name for layer in net.layer]))
    return net


def read_solver(path: str | Path, variables: Mapping[str, str] | None = None) -> SolverParameter:
    """Return the solver in a text file, template names filled in and old notations upgraded."""
    return upgrade_solver(read(path, SolverParameter, variables), where=str(path))


def read_sketch(path: str | Path, message_class: type[M], variables: Mapping[str, str] | None) -> tuple[M, list[str]]:
    """Return the message in a text file, upgraded, and the template names that have no value.

    Where such a name stands for a number or a switch the message has 1; in strings the name stays.
    """
    text = read_text(path, _wanted(message_class))
    parser = Parser(expand(text, variables, str(path), placeholder="1"))
    message = message_class()
    parser.message(message)
    if isinstance(message, NetParameter):
        places = parser.layer_places(message)
        upgrade_net(message, where=str(path))
        _remember(message, _follow(places, [layer.name for layer in message.layer]))
    elif isinstance(message, SolverParameter):
        upgrade_solver(message, where=str(path))
    return message, [name for name in template_names(text) if name not in (variables or {})]


def layer_places(net: NetParameter) -> list[str]:
    """Return ``file:line`` for each of ``net.layer``, or empty strings when unknown.

    Known for the very object ``read_net`` returned (the 16 nets read last), not for copies of it. A layer that the
    upgrade made from the net's ``input`` fields has the place of the first of them.
    """
    kept = _places.get(id(net))
    if kept is None or kept[0] is not net or len(kept[1]) != len(net.layer):
        return [""] * len(net.layer)
    return list(kept[1])


def _remember(net: NetParameter, places: list[str]) -> None:
    _places[id(net)] = (net, places)
    while len(_places) > _KEPT_NETS:
        _places.popitem(last=False)


def _follow(written: list[tuple[str, str]], names: list[str]) -> list[str]:
    """Match layers after the upgrade to those written: the order and the names stay, some vanish, an input is new."""
    places = []
    start = 0
    for name in names:
        found = next((i for i in range(start, len(written)) if written[i][0] == name), None)
        places.append(written[found][1] if found is not None else "")
        start = found + 1 if found is not None else start
    return places


def _wanted(message_class: type[Message]) -> str:
    """Return how messages call the file of a message."""
    return SOLVER if message_class is SolverParameter else NET


def _read(path: str | Path, message_class: type[M], variables: Mapping[str, str] | None) -> tuple[M, Parser]:
    parser = Parser(expand(read_text(path, _wanted(message_class)), variables, str(path)))
    message = message_class()
    parser.message(message)
    return message, parser
