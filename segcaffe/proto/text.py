"""Text configurations (prototxt) to messages and back.

The parser is our own, driven by the schema's descriptors, so that every error names file, line, column, layer and
field. It accepts what protobuf's text format accepts: ``name: {`` and ``name {``, ``<`` ``>`` for braces, single and
double quotes, adjacent strings, lists, ``,`` and ``;`` behind a field, ``#`` comments, decimal, hexadecimal and octal
integers, ``1.``, ``.5``, ``1f``, ``inf``, ``nan``.

``read_net`` also remembers where each layer stands; ``layer_places`` tells.
"""

from __future__ import annotations

import itertools
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from segcaffe.errors import PrototxtError
from segcaffe.proto.caffe_pb2 import NetParameter, SolverParameter
from segcaffe.proto.fields import Field, field_table
from segcaffe.proto.printer import write
from segcaffe.proto.source import Source, did_you_mean, read_text
from segcaffe.proto.template import expand, template_names
from segcaffe.proto.upgrade import upgrade_net, upgrade_solver
from segcaffe.proto.values import BadValueError, join_strings

__all__ = ["layer_places", "outer_fields", "parse", "read", "read_net", "read_sketch", "read_solver", "write"]

M = TypeVar("M", bound=Message)
Token = tuple[str, str, int]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<punctuation>[{}:\[\],;<>-])
      | (?P<number>\.?[0-9](?:[eE][+-]|[A-Za-z0-9_.])*)
      | (?P<string>"[^"\\\r\n]*(?:\\.[^"\\\r\n]*)*" | '[^'\\\r\n]*(?:\\.[^'\\\r\n]*)*')
      | (?P<comment>\#[^\r\n]*)
      | (?P<end>\Z)
      | (?P<other>\S[^\s{}\[\],;<>\#]*)
    )""",
    re.VERBOSE,
)
_LAYER_MESSAGES = ("LayerParameter", "V1LayerParameter", "V0LayerParameter")
_CLOSING = {"{": "}", "<": ">"}

# Messages take no attributes and no weak references, so the places of the nets read last are kept beside them. The net
# is held too: while it is, no other object can have its id.
_KEPT_NETS = 16
_places: OrderedDict[int, tuple[NetParameter, list[str]]] = OrderedDict()


def parse(text: str, message: M, filename: str = "<string>") -> M:
    """Fill ``message`` from the text format and return it.

    Raises PrototxtError: ``file:line:column: in layer "conv1" (Convolution), field "x": rule. Received: ...``.
    """
    _Parser(Source.plain(text, filename)).message(message)
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
    text = read_text(path)
    parser = _Parser(expand(text, variables, str(path), placeholder="1"))
    message = message_class()
    parser.message(message)
    if isinstance(message, NetParameter):
        places = parser.layer_places(message)
        upgrade_net(message, where=str(path))
        _remember(message, _follow(places, [layer.name for layer in message.layer]))
    elif isinstance(message, SolverParameter):
        upgrade_solver(message, where=str(path))
    return message, [name for name in template_names(text) if name not in (variables or {})]


def outer_fields(text: str) -> list[str]:
    """Return the names of the fields outside all braces, whatever message they belong to."""
    names, depth = [], 0
    tokens = _tokenize(text)
    for (kind, token, _), (_, behind, _) in itertools.pairwise(tokens):
        depth += (token in _CLOSING) - (token in ("}", ">"))
        if depth == 0 and kind == "name" and (behind == ":" or behind in _CLOSING):
            names.append(token)
    return names


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


def _read(path: str | Path, message_class: type[M], variables: Mapping[str, str] | None) -> tuple[M, _Parser]:
    parser = _Parser(expand(read_text(path), variables, str(path)))
    message = message_class()
    parser.message(message)
    return message, parser


def _tokenize(text: str) -> list[Token]:
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text, 1 if text.startswith("\ufeff") else 0):
        kind = match.lastgroup
        if kind is not None and kind != "comment":
            tokens.append((kind, match.group(kind), match.start(kind)))
    return tokens


class _Parser:
    """Recursive descent over the tokens of one source."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = _tokenize(source.text)
        self.at = 0
        self.path: list[str] = []
        self.layer_start: int | None = None
        self.layer_offsets: list[int] = []
        self.input_offset: int | None = None

    def message(self, message: Message) -> None:
        """Parse the whole source into ``message``."""
        self._fields(message, "", 0)

    def layer_places(self, net: NetParameter) -> list[tuple[str, str]]:
        """Return name and ``file:line`` of each layer as written, before any upgrade."""
        names = [layer.name or layer.layer.name for layer in net.layers] + [layer.name for layer in net.layer]
        places = [f"{self.source.filename}:{self.source.line(offset)}" for offset in self.layer_offsets]
        written = list(zip(names, places, strict=True)) if not (net.layers and net.layer) else []
        if self.input_offset is not None:
            written.insert(0, ("input", f"{self.source.filename}:{self.source.line(self.input_offset)}"))
        return written

    def _fields(self, message: Message, closing: str, opened: int) -> None:
        table = field_table(message.DESCRIPTOR)
        seen: dict[str, int] = {}
        tokens = self.tokens
        while True:
            kind, text, offset = tokens[self.at]
            if text == closing:
                self.at += 1
                return
            field = table.get(text) if kind == "name" else None
            if field is None:
                raise self._not_a_field(message, closing, opened)
            self.path.append(text)
            if not field.repeated and text in seen:
                raise self._given_twice(field, seen[text], offset)
            seen[text] = offset
            self.at += 1
            self._field(message, field)
            self.path.pop()
            if tokens[self.at][1] in (",", ";"):
                self.at += 1

    def _field(self, message: Message, field: Field) -> None:
        text = self.tokens[self.at][1]
        if text == ":":
            self.at += 1
            text = self.tokens[self.at][1]
        elif field.message is None:
            raise self._error("a field's name is followed by a colon and its value.")
        if len(self.path) == 1:
            self._note_place(field)
        if text == "[" and field.repeated:
            self._list(message, field)
        else:
            self._value(message, field)

    def _note_place(self, field: Field) -> None:
        offset = next(token[2] for token in reversed(self.tokens[: self.at]) if token[0] == "name")
        if field.message in _LAYER_MESSAGES:
            self.layer_offsets.append(offset)
        elif field.name == "input" and self.input_offset is None:
            self.input_offset = offset

    def _list(self, message: Message, field: Field) -> None:
        self.at += 1
        if self.tokens[self.at][1] == "]":
            self.at += 1
            return
        while True:
            self._value(message, field)
            text = self.tokens[self.at][1]
            if text not in (",", "]"):
                raise self._error("the values of a list stand between [ and ], with commas between them.")
            self.at += 1
            if text == "]":
                return

    def _value(self, message: Message, field: Field) -> None:
        if field.message is not None:
            self._submessage(message, field)
        elif field.repeated:
            getattr(message, field.name).append(self._scalar(field))
        else:
            setattr(message, field.name, self._scalar(field))

    def _submessage(self, message: Message, field: Field) -> None:
        _, text, opened = self.tokens[self.at]
        if text not in _CLOSING:
            raise self._error(f"{field.name} is a group of fields, written {field.name} {{ ... }}.")
        self.at += 1
        child = getattr(message, field.name)
        if field.repeated:
            child = child.add()
        else:
            child.SetInParent()
        outer = self.layer_start
        if field.message in _LAYER_MESSAGES:
            self.layer_start = self.at
        self._fields(child, _CLOSING[text], opened)
        self.layer_start = outer

    def _scalar(self, field: Field) -> object:
        start = self.at
        kind, text, _ = self.tokens[start]
        if kind == "string":
            text = self._strings()
        elif text == "-":
            self.at += 1
            text = "-" + self.tokens[self.at][1]
        self.at += 1
        try:
            return field.convert(kind, text)
        except BadValueError as bad:
            self.at = start
            raise self._error(bad.rule, text if kind != "string" else None, bad.hint) from None

    def _strings(self) -> str:
        """Return the contents of adjacent strings, still escaped, and stop at the last of them."""
        texts = [self.tokens[self.at][1]]
        while self.tokens[self.at + 1][0] == "string":
            self.at += 1
            texts.append(self.tokens[self.at][1])
        return join_strings(texts)

    # Errors. All look at the token self.at.

    def _error(self, rule: str, received: str | None = None, hint: str = "") -> PrototxtError:
        kind, text, offset = self.tokens[self.at]
        shown = text if received is None else received
        if kind == "other" and text[0] in "\"'":
            rule = f"a string must end with {text[0]} on the line where it began."
        received = f"`{shown}`" if kind != "end" else "the end of the file"
        names = self.source.names_in(offset, offset + max(len(text), 1))
        filled = f" (the value of {', '.join(f'${{{name}}}' for name in names)})" if names else ""
        return PrototxtError(
            f"{self.source.place(offset)}: {self._context()}{rule} Received: {received}{filled}.{hint}"
        )

    def _context(self) -> str:
        field = f'field "{".".join(self._path_in_layer())}"' if self.path else ""
        layer = f"in layer {self._layer()}" if self.layer_start is not None else ""
        context = ", ".join(part for part in (layer, field) if part)
        return f"{context}: " if context else ""

    def _path_in_layer(self) -> list[str]:
        path = list(self.path)
        while len(path) > 1 and path[0] in ("layer", "layers"):
            path.pop(0)
        return path

    def _layer(self) -> str:
        """Describe the layer around the error; name and type may stand before or after it."""
        found = {"name": "", "type": ""}
        depth = 0
        at = self.layer_start or 0
        while at < len(self.tokens) - 2 and depth >= 0:
            text = self.tokens[at][1]
            depth += (text in _CLOSING) - (text in ("}", ">"))
            value = self.tokens[at + 2]
            if depth == 0 and text in found and self.tokens[at + 1][1] == ":" and value[0] in ("string", "name"):
                found[text] = found[text] or (value[1][1:-1] if value[0] == "string" else value[1])
            at += 1
        described = f'"{found["name"]}"' if found["name"] else "without a name"
        return f"{described} ({found['type']})" if found["type"] else described

    def _given_twice(self, field: Field, first: int, second: int) -> PrototxtError:
        return PrototxtError(
            f"{self.source.place(second)}: {self._context()}{field.name} is not repeated, so it may be given once. "
            f"Received: {field.name} on line {self.source.line(first)} and again on line {self.source.line(second)}."
        )

    def _not_a_field(self, message: Message, closing: str, opened: int) -> PrototxtError:
        kind, text, offset = self.tokens[self.at]
        if kind == "end":
            return self._error(
                f"the {'{' if closing == '}' else '<'} of line {self.source.line(opened)} is not closed; "
                f"add the missing {closing}."
            )
        if kind != "name":
            rule = "there is nothing to close here." if text in ("}", ">") else "expected the name of a field."
            return self._error(rule)
        self.path.append(text)
        table = field_table(message.DESCRIPTOR)
        hint = did_you_mean(text, table) or _belongs_to(text, table)
        return PrototxtError(
            f"{self.source.place(offset)}: {self._context()}{message.DESCRIPTOR.name} has no such field. "
            f"Received: `{text}`.{hint}"
        )


def _belongs_to(name: str, table: Mapping[str, Field]) -> str:
    """Say which groups of this message have the field, when the message itself has not."""
    groups = [field.name for field in table.values() if name in field.inner_names()]
    return f" The field belongs into {' or '.join(groups[:4])}." if groups else ""
