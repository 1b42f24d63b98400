"""Fields of binary nets that forks use for something else than the schema does, inside the options of layers.

Protobuf would read their bytes as what the schema says, or give up on the whole file. They are set aside under
8000 + their number, which is an unknown field, stay with the net, and go back to their own number when it is written.

Known ones: ``resize_param``, a message, is ``TransformationParameter``'s number 8 in the Caffe of SSD and in Intel's
and NVIDIA's; here that is ``repeated float scale_factors``. The first DeepLab's ``hole``, ``hole_h`` and ``hole_w`` are
``ConvolutionParameter``'s 17 to 19, which later became ``force_nd_im2col``, ``dilation`` and ``bottom_is_im2col``;
they are recognised by their layer, which has the old notation, and have numbers of their own in the schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from segcaffe.proto import caffe_pb2, wire
from segcaffe.proto.caffe_pb2 import NetParameter

OFFSET = 8000
_NET: Any = NetParameter.DESCRIPTOR
_HOLES = {17: 117, 18: 118, 19: 119}
_OF_DIALECTS = range(143, 158)
"""Numbers of ``LayerParameter`` that `dialect` itself sets aside."""
_FIRST_OPTION = {"LayerParameter": 100, "V1LayerParameter": 9}

NewNumber = Callable[[bytes, wire.WireField, Descriptor, Descriptor | None], int]
"""The number for a field of a message (a Descriptor) inside another one."""


def set_aside(data: bytes, *, thorough: bool = False) -> bytes:
    """Return a net's bytes in which such fields have other numbers; ``thorough``: all that protobuf cannot read.

    Raises wire.WireError for bytes that are no message.
    """
    new_number = _unreadable if thorough else _foreign
    return _rewritten(data, 0, len(data), _NET, None, new_number) or data


def put_back(data: bytes) -> bytes:
    """Return a net's bytes with the fields that were set aside under their own numbers."""
    return _rewritten(data, 0, len(data), _NET, None, _own) or data


def original_number(number: int) -> int:
    """Return the number that a field had in the file."""
    return number - OFFSET if OFFSET < number < OFFSET + 1000 else number


def _rewritten(
    data: bytes, start: int, end: int, kind: Descriptor, parent: Descriptor | None, new_number: NewNumber
) -> bytes | None:
    """Return the bytes of a message with other numbers in it, None where none changes."""
    pieces: list[bytes] = []
    copied = start
    for field in wire.fields(data, start, end):
        number = new_number(data, field, kind, parent)
        value = None
        if number == field.number:
            inner = _inner(kind, field)
            value = _rewritten(data, field.start, field.end, inner, kind, new_number) if inner is not None else None
            if value is None:
                continue
        value = data[field.start : field.end] if value is None else value
        pieces += (data[copied : field.begin], wire.tag(number, field.kind))
        pieces += (wire.write_varint(len(value)), value) if field.kind == wire.LENGTH else (value,)
        copied = field.end
    return b"".join([*pieces, data[copied:end]]) if pieces else None


def _inner(kind: Descriptor, field: wire.WireField) -> Descriptor | None:
    """Return the message type of a field whose inside is looked at: not of blobs, which are most of the file."""
    known = kind.fields_by_number.get(field.number)
    if known is None or known.message_type is None or field.kind != wire.LENGTH:
        return None
    return known.message_type if known.message_type.name != "BlobProto" else None


def _foreign(data: bytes, field: wire.WireField, kind: Descriptor, parent: Descriptor | None) -> int:
    if kind.name == "TransformationParameter" and (field.number, field.kind) == (8, wire.LENGTH):
        return field.number + OFFSET if _is_message(data, field) else field.number
    if kind.name == "ConvolutionParameter" and parent is not None and parent.name == "V1LayerParameter":
        return _HOLES.get(field.number, field.number)
    return field.number


def _is_message(data: bytes, field: wire.WireField) -> bool:
    """Whether bytes are fields of a message; floats packed in a row, which no Caffe writes, hardly ever are."""
    try:
        for _ in wire.fields(data, field.start, field.end):
            pass
    except wire.WireError:
        return False
    return True


def _unreadable(data: bytes, field: wire.WireField, kind: Descriptor, parent: Descriptor | None) -> int:
    number = _foreign(data, field, kind, parent)
    known = kind.fields_by_number.get(field.number)
    is_option = parent is not None and field.number >= _FIRST_OPTION.get(kind.name, 0) and kind.name != "NetParameter"
    if number != field.number or known is None or not is_option or field.kind != wire.LENGTH:
        return number
    return number if _fits(kind, known, data, field) else number + OFFSET


def _fits(kind: Descriptor, known: FieldDescriptor, data: bytes, field: wire.WireField) -> bool:
    """Whether a field's bytes are what the schema says, as far as protobuf would stop at them."""
    if known.message_type is not None:
        return _is_message(data, field)
    owner: Any = getattr(caffe_pb2, kind.name)
    try:
        owner.FromString(wire.tag(field.number, field.kind) + wire.write_varint(field.end - field.start)
                         + data[field.start : field.end])  # fmt: skip
    except DecodeError:
        return False
    return True


def _own(data: bytes, field: wire.WireField, kind: Descriptor, parent: Descriptor | None) -> int:
    if kind.name == "ConvolutionParameter" and parent is not None and parent.name == "V1LayerParameter":
        return {own: number for number, own in _HOLES.items()}.get(field.number, field.number)
    number = original_number(field.number)
    of_dialects = kind.name == "LayerParameter" and number in _OF_DIALECTS
    return number if parent is not None and number in kind.fields_by_number and not of_dialects else field.number
