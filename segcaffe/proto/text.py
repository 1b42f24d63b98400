"""Text configurations (prototxt) to messages and back.

The parser is our own, driven by the schema's descriptors, so that every error names file, line, column, layer and
field. It accepts what protobuf's text format accepts: ``name: {`` and ``name {``, ``<`` ``>`` for braces, single and
double quotes, adjacent strings, lists, ``,`` and ``;`` behind a field, ``#`` comments, decimal, hexadecimal and octal
integers, ``1.``, ``.5``, ``1f``, ``inf``, ``nan``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from segcaffe.errors import Place
from segcaffe.proto.caffe_pb2 import NetParameter, SolverParameter
from segcaffe.proto.content import NET, SOLVER
from segcaffe.proto.parser import Parser
from segcaffe.proto.placed import PlacedNet
from segcaffe.proto.printer import write
from segcaffe.proto.source import Source, read_text, text_of
from segcaffe.proto.template import expand, template_names
from segcaffe.proto.tokens import outer_fields
from segcaffe.proto.upgrade import upgrade_net, upgrade_solver

__all__ = [
    "net_in",
    "net_of",
    "outer_fields",
    "parse",
    "read",
    "read_net",
    "read_net_sketch",
    "read_solver",
    "read_solver_sketch",
    "write",
]

M = TypeVar("M", bound=Message)


def parse(text: str, message: M, filename: str = "<string>") -> M:
    """Fill ``message`` from the text format and return it.

    Raises PrototxtError: ``file:line:column: in layer "conv1" (Convolution), field "x": rule. Received: ...``.
    """
    Parser(Source.plain(text, filename)).message(message)
    return message


def read(path: str | Path, message_class: type[M], variables: Mapping[str, str] | None = None) -> M:
    """Return the message in a text file, its template names filled in; nothing is upgraded."""
    message = message_class()
    _parser(path, message_class, variables).message(message)
    return message


def read_net(path: str | Path, variables: Mapping[str, str] | None = None, *, tolerant: bool = False) -> PlacedNet:
    """Return the net in a text file with its layers' places, template names filled in and old notations upgraded.

    A layer that the upgrade made from the net's ``input`` fields has the place of the first of them. Options that are
    not known are an error; where ``tolerant`` they are passed over, and come with the net.
    """
    return _placed(_parser(path, NetParameter, variables, tolerant), str(path))


def net_of(data: bytes, where: str, *, tolerant: bool = False) -> PlacedNet:
    """Return the net in the bytes of a text file, as `read_net` does; ``where`` is what errors and places call them."""
    return _placed(Parser(expand(text_of(data, where, NET), None, where), tolerant=tolerant), where)


def net_in(source: Source) -> PlacedNet:
    """Return the net in a text whose template names are filled in, as `read_net` does."""
    return _placed(Parser(source), source.filename)


def read_solver(path: str | Path, variables: Mapping[str, str] | None = None) -> SolverParameter:
    """Return the solver in a text file, template names filled in and old notations upgraded."""
    return upgrade_solver(read(path, SolverParameter, variables), where=str(path))


def read_net_sketch(
    path: str | Path, variables: Mapping[str, str] | None, *, tolerant: bool = False
) -> tuple[PlacedNet, list[str]]:
    """Return the net in a text file, upgraded, and the template names that have no value.

    Where such a name stands for a number or a switch the message has 1; in strings the name stays. ``tolerant`` is as
    for `read_net`.
    """
    parser, unset = _sketch(path, NET, variables, tolerant)
    return _placed(parser, str(path)), unset


def read_solver_sketch(path: str | Path, variables: Mapping[str, str] | None) -> tuple[SolverParameter, list[str]]:
    """Return the solver in a text file, upgraded, and the template names that have no value, as `read_net_sketch`."""
    parser, unset = _sketch(path, SOLVER, variables)
    solver = SolverParameter()
    parser.message(solver)
    return upgrade_solver(solver, where=str(path)), unset


def _placed(parser: Parser, where: str) -> PlacedNet:
    """Parse a net, and bring it up to date."""
    net = NetParameter()
    parser.message(net)
    written = parser.layer_places(net)
    upgrade_net(net, where=where)
    return PlacedNet(net, _follow(written, [layer.name for layer in net.layer]), parser.unknown)


def _follow(written: list[tuple[str, Place]], names: list[str]) -> list[Place | None]:
    """Match layers after the upgrade to those written: the order and the names stay, some vanish, an input is new."""
    left: dict[str, list[int]] = {}
    for i in reversed(range(len(written))):
        left.setdefault(written[i][0], []).append(i)
    places: list[Place | None] = []
    start = 0
    for name in names:
        found = left.get(name, [])
        while found and found[-1] < start:
            found.pop()
        places.append(written[found[-1]][1] if found else None)
        start = found[-1] + 1 if found else start
    return places


def _parser(
    path: str | Path, message_class: type[Message], variables: Mapping[str, str] | None, tolerant: bool = False
) -> Parser:
    wanted = SOLVER if message_class is SolverParameter else NET
    return Parser(expand(read_text(path, wanted), variables, str(path)), tolerant=tolerant)


def _sketch(
    path: str | Path, wanted: str, variables: Mapping[str, str] | None, tolerant: bool = False
) -> tuple[Parser, list[str]]:
    text = read_text(path, wanted)
    unset = [name for name in template_names(text) if name not in (variables or {})]
    return Parser(expand(text, variables, str(path), placeholder="1"), tolerant=tolerant), unset
