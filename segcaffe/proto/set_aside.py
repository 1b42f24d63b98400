"""Bytes of a binary net that are not what the schema says their number is, set aside where nothing reads them.

Protobuf would read them as what the schema says, or give up on the whole file. Under 8000 + their number, which is an
unknown field, they stay with the net, and go back to their own number when it is written.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from segcaffe.proto import caffe_pb2, wire
from segcaffe.proto.numbers import NOT_EXPLAINED
from segcaffe.proto.rewriting import Place

_LAST = NOT_EXPLAINED + 1000
_FIRST_OPTION = {"LayerParameter": 100, "V1LayerParameter": 9}
_WIRE = {
    FieldDescriptor.TYPE_FLOAT: wire.FIXED32,
    FieldDescriptor.TYPE_DOUBLE: wire.FIXED64,
    FieldDescriptor.TYPE_STRING: wire.LENGTH,
    FieldDescriptor.TYPE_BYTES: wire.LENGTH,
    FieldDescriptor.TYPE_MESSAGE: wire.LENGTH,
}


def original_number(number: int) -> int:
    """Return the number that a field had in the file."""
    return number - NOT_EXPLAINED if NOT_EXPLAINED < number < _LAST else number


def number_aside(number: int) -> int:
    """Return the number under which a field is set aside; those that are too large for it stay where they are."""
    return number + NOT_EXPLAINED if number < _LAST - NOT_EXPLAINED else number


def is_aside(place: Place) -> bool:
    """Whether a field that the schema does not know has a known one's number, set aside."""
    fields = place.kind.fields_by_number
    number = original_number(place.field.number)
    return number != place.field.number and place.field.number not in fields and number in fields


def is_option(place: Place) -> bool:
    """Whether a field is among a layer's options or inside one: what a net can do without, if it must."""
    if place.parent is None or place.kind.name == "NetParameter":
        return False
    return place.field.number >= _FIRST_OPTION.get(place.kind.name, 0) and place.field.kind == wire.LENGTH


def fits(place: Place, known: FieldDescriptor) -> bool:
    """Whether a field's bytes can be what the schema says of it, as far as protobuf would tell."""
    usual = wire_type(known)
    if place.field.kind != usual:
        is_packed = known.is_repeated and place.field.kind == wire.LENGTH and usual != wire.LENGTH
        return is_packed and _parses(place, known)
    return known.message_type is None or _is_message(place)


def wire_type(field: FieldDescriptor) -> int:
    """Return the wire type of a field's values, one by one."""
    return _WIRE.get(field.type, wire.VARINT)


def _is_message(place: Place) -> bool:
    """Whether a field's bytes are fields of a message, whatever they mean."""
    try:
        for _ in wire.fields(place.data, place.field.start, place.field.end):
            pass
    except wire.WireError:
        return False
    return True


def _parses(place: Place, known: FieldDescriptor) -> bool:
    owner: Any = caffe_pb2
    container: Any = known.containing_type
    for name in container.full_name.split(".")[1:]:
        owner = getattr(owner, name)
    payload = place.payload
    try:
        owner.FromString(wire.tag(known.number, wire.LENGTH) + wire.write_varint(len(payload)) + payload)
    except DecodeError:
        return False
    return True
