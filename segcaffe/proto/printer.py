"""Messages to text configurations, as Caffe prints them: fields in the order of their numbers, shortest numbers."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from segcaffe.proto.encoding import to_bytes, to_native
from segcaffe.proto.fields import SEVERAL, enum_name
from segcaffe.proto.set_aside import original_number

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})

_NOT_UTF8 = re.compile("[\udc80-\udcff]")
"""Bytes of a string that is no UTF-8, which is written as escapes, so that the file as a whole is UTF-8."""


def write(message: Message) -> str:
    """Return the text format of a message.

    Fields that the schema does not know (read from a binary file) have no name to be written under; a comment at the
    top says where they were.
    """
    unknown = "".join(f"# Not written, unknown to the schema: {place}\n" for place in _unknown(message, ""))
    return unknown + "".join(_lines(message, ""))


def _lines(message: Message, indent: str) -> Iterator[str]:
    for field, value in message.ListFields():
        for item in value if field.is_repeated else (value,):
            if field.message_type is not None:
                yield f"{indent}{field.name} {{\n"
                yield from _lines(item, indent + "  ")
                yield f"{indent}}}\n"
            else:
                yield f"{indent}{field.name.removesuffix(SEVERAL)}: {_scalar(field, item)}\n"


def _scalar(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{_text(value)}"'
    if isinstance(value, bytes):
        return f'"{_escaped(value)}"'
    if isinstance(value, float):
        return float32_text(value) if field.type == FieldDescriptor.TYPE_FLOAT else _float64_text(value)
    if field.enum_type is not None and isinstance(value, int):
        return enum_name(field, value)
    return str(value)


def _text(value: str) -> str:
    is_utf8 = value.isascii() or not _NOT_UTF8.search(to_native(value))
    return value.translate(_ESCAPES) if is_utf8 else _escaped(to_bytes(value))


def _escaped(value: bytes) -> str:
    return "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03o}" for b in value)


def float32_text(value: float) -> str:
    """Return the fewest digits that give the same float32 again."""
    if not math.isfinite(value):
        return str(value)
    for digits in range(6, 10):
        text = f"{value:.{digits}g}"
        if _as_float32(float(text)) == value:
            break
    return text


def _as_float32(value: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.inf


def _float64_text(value: float) -> str:
    text = repr(value)
    return text.removesuffix(".0")


def _unknown(message: Message, path: str) -> Iterator[str]:
    place = path or message.DESCRIPTOR.name
    fields = UnknownFieldSet(message)
    for i in range(len(fields)):
        yield f"field {original_number(fields[i].field_number)} of {place}"
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if field.is_repeated else (value,):
                yield from _unknown(item, f"{path}.{field.name}".lstrip("."))
