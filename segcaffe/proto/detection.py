"""Which dialect a binary net is in, found out from what its layers say themselves.

A dialect is the better the more of a net it explains: the options belong to the layers' types, its fields exist, and
their bytes are what it says they are. Where forks explain a net equally well but read something in it differently, it
is not guessed: the net is one of the families', and what they do not explain is set aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from segcaffe.proto import wire
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.proto.fields import options_by_type
from segcaffe.proto.numbers import (
    DIALECTS,
    DISPUTED,
    FAMILIES,
    NOT_IN_DIALECT,
    Dialect,
    dialect,
    disputed,
    disputed_options,
    name_of,
)
from segcaffe.proto.set_aside import original_number, wire_type

_WRONG, _FOREIGN, _UNUSUAL = 3, 2, 1
"""What it costs: bytes that are no such thing; an option of another layer type; what may be, but is not written."""
_NET: Any = NetParameter.DESCRIPTOR
_LAYER, _TYPE = "LayerParameter", 2


class _Known(NamedTuple):
    """What must be known of a field to judge its bytes; ``values`` are those of an enum or a truth value."""

    wire_type: int
    is_repeated: bool
    is_packed: bool
    is_text: bool
    message: Descriptor | None
    values: frozenset[int] | None
    name: str


def detect(data: bytes) -> str:
    """Return the dialect that explains a net's bytes best, the first of ``DIALECTS`` where several do.

    Raises wire.WireError for bytes that are no message.
    """
    views: dict[str, _View] = {}
    for name in DIALECTS:
        if name not in FAMILIES and not _reads_otherwise(dialect(name), views["bvlc"].doubtful):
            continue
        view = views[name] = _View(dialect(name))
        view.look_at(data, (0, len(data)), _NET, None)
        if view.cost == 0 and name in FAMILIES:
            return name
    least = min(view.cost for view in views.values())
    best = [name for name, view in views.items() if view.cost == least]
    if all(views[name].renamed == views[best[0]].renamed for name in best):
        return best[0]
    return min(FAMILIES, key=lambda name: views[name].cost)


def _reads_otherwise(numbers: Dialect, doubtful: set[tuple[str, int]]) -> bool:
    return any(number in numbers.reading.get(message, ()) for message, number in doubtful)


class _View:
    """A net as a dialect sees it.

    Attributes
    ----------
    cost:
        How badly it explains the net: 0 when it explains everything in it.
    renamed:
        What it reads as something else than the schema does: message, number, the schema's number for it.
    doubtful:
        Fields, by message and number, that are not the same in all dialects.
    """

    def __init__(self, numbers: Dialect) -> None:
        self.numbers = numbers
        self.cost = 0
        self.renamed: set[tuple[str, int, int]] = set()
        self.doubtful: set[tuple[str, int]] = set()

    def look_at(self, data: bytes, span: tuple[int, int], kind: Descriptor, parent: Descriptor | None) -> None:
        """Add what a message costs. Raises wire.WireError for bytes that are none."""
        message = name_of(kind)
        fields = list(wire.fields(data, *span))
        own_option = _own_option(data, fields) if message == _LAYER else None
        written_elsewhere = self.numbers.writing.get(message, {})
        doubtful = disputed().get(message, frozenset[int]())
        seen: set[int] = set()
        for field in fields:
            own = self.numbers.number_read(kind, parent, field.number)
            known = _known_fields(kind).get(own)
            if own != field.number:
                self.renamed.add((message, field.number, own))
            if field.number in doubtful:
                self.doubtful.add((message, field.number))
            if known is None:
                self.cost += _cost_unknown(message, field.number)
            elif own in seen and not known.is_repeated:
                self.cost += _WRONG
            elif (own == field.number and own in written_elsewhere) or _is_of_another(message, own, own_option):
                self.cost += _FOREIGN
            else:
                self._look_inside(data, field, known, kind)
            seen.add(own)

    def _look_inside(self, data: bytes, field: wire.WireField, known: _Known, kind: Descriptor) -> None:
        if known.message is None or field.kind != wire.LENGTH:
            values = self.numbers.values_read.get(f"{name_of(kind)}.{known.name}", {})
            self.cost += _cost_value(data, field, known, name_of(kind), values)
        elif known.message.name != "BlobProto":
            before = self.cost
            try:
                self.look_at(data, (field.start, field.end), known.message, kind)
            except wire.WireError:
                if name_of(kind) == "NetParameter":
                    raise
                self.cost = before + _WRONG
            if name_of(kind) != "NetParameter":
                self.cost = min(self.cost, before + _WRONG)


def _own_option(data: bytes, fields: list[wire.WireField]) -> int | None:
    """Return the number of the option that a layer's type has, where dialects have different numbers for it."""
    for field in fields:
        if (field.number, field.kind) == (_TYPE, wire.LENGTH):
            layer_type = bytes(data[field.start : field.end]).decode("utf-8", "replace")
            return disputed_options().get(options_by_type().get(layer_type, ""))
    return None


def _is_of_another(message: str, own: int, own_option: int | None) -> bool:
    """Whether an option is a disputed one, and the layer's type has another."""
    return message == _LAYER and own_option is not None and own != own_option and own in _disputed_numbers()


@cache
def _disputed_numbers() -> frozenset[int]:
    return frozenset(disputed_options().values())


def _cost_unknown(message: str, number: int) -> int:
    if message == _LAYER and (number in DISPUTED or number - NOT_IN_DIALECT in DISPUTED):
        return _WRONG
    return 0 if original_number(number) != number or message == "NetParameter" else _UNUSUAL


def _cost_value(data: bytes, field: wire.WireField, known: _Known, message: str, values: Mapping[int, int]) -> int:
    if field.kind != known.wire_type:
        is_packed = known.is_repeated and field.kind == wire.LENGTH
        return (_UNUSUAL if not known.is_packed else 0) if is_packed else _WRONG
    if known.values is not None:
        value = wire.read_varint(data, field.start)[0]
        return 0 if values.get(value, value) in known.values else _WRONG
    if known.is_text and field.number in disputed().get(message, ()):
        return 0 if _is_text(data[field.start : field.end]) else _WRONG
    return 0


def _is_text(value: bytes) -> bool:
    try:
        return value.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


@cache
def _known_fields(kind: Descriptor) -> dict[int, _Known]:
    return {field.number: _known(field) for field in kind.fields}


def _known(field: FieldDescriptor) -> _Known:
    values: frozenset[int] | None = None
    if field.enum_type is not None:
        values = frozenset(value.number for value in field.enum_type.values)
    elif field.type == FieldDescriptor.TYPE_BOOL:
        values = frozenset((0, 1))
    is_text = field.type == FieldDescriptor.TYPE_STRING
    return _Known(wire_type(field), field.is_repeated, field.is_packed, is_text, field.message_type, values, field.name)
