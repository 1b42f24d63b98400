"""Text that is not UTF-8, such as names and paths in GBK or Latin-1: Caffe takes them as bytes, and so they stay.

Protobuf's strings hold Unicode only. A byte that is no UTF-8 stands in them as a character of its own, one of 128 in a
private area of Unicode (U+10F780 to U+10F7FF), so that bytes and strings correspond one to one. In Python's paths and
texts such bytes are surrogates, as ``surrogateescape`` makes them. What enters a message goes through ``from_native``
or ``from_bytes``, a path that leaves one through ``to_native``; binary messages are read by ``parse`` and written by
``serialize``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from segcaffe.proto import wire

M = TypeVar("M", bound=Message)

_OFFSET = 0x10F700
_IN_MESSAGE = "[\U0010f780-\U0010f7ff]"
_STANDS_FOR_BYTE = re.compile(_IN_MESSAGE)
_TO_NATIVE = {_OFFSET + byte: 0xDC00 + byte for byte in range(0x80, 0x100)}
_FROM_NATIVE = {native: own for own, native in _TO_NATIVE.items()}


def from_bytes(data: bytes) -> str:
    """Return the string of a message for bytes that should be UTF-8."""
    text = data.decode("utf-8", "surrogateescape")
    # A file may hold such a character itself; then it counts as bytes like those of any other encoding.
    text = _STANDS_FOR_BYTE.sub(lambda found: found[0].encode().decode("ascii", "surrogateescape"), text)
    return text.translate(_FROM_NATIVE)


def to_bytes(text: str) -> bytes:
    """Return the bytes that a message's string stands for."""
    return to_native(text).encode("utf-8", "surrogateescape")


def to_readable(text: str) -> str:
    """Return a string of a message, or a text of Python's, for pictures: marks of replacement for what is no UTF-8."""
    return text if text.isascii() else to_bytes(text).decode("utf-8", "replace")


def from_native(text: str) -> str:
    """Return the string of a message for a path or a text of Python's."""
    return text if text.isascii() else from_bytes(text.encode("utf-8", "surrogateescape"))


def to_native(text: str) -> str:
    """Return a message's string as a path that Python opens, bytes that are no UTF-8 as surrogates."""
    return text if text.isascii() else text.translate(_TO_NATIVE)


def parse(message_class: type[M], data: bytes) -> M:
    """Return the message in binary data, whatever its strings hold. Raises protobuf's DecodeError."""
    message = message_class.FromString(data)
    for owner, field in _strings(message):
        _replace(owner, field, _from_wire)
    return message


def serialize(message: Message) -> bytes:
    """Return the binary form of a message, its strings as the bytes they stand for."""
    if not any(_STANDS_FOR_BYTE.search(text) for owner, field in _strings(message) for text in _texts(owner, field)):
        return message.SerializeToString()
    copy = type(message)()
    copy.CopyFrom(message)
    for owner, field in list(_strings(copy)):
        _write_bytes(owner, field)
    return copy.SerializeToString()


def _strings(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    """The strings in a message and in those inside it: each with the message that has the field."""
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            yield message, field
        elif field.message_type is not None and _has_strings(field):
            for inner in value if field.is_repeated else (value,):
                yield from _strings(inner)


def _has_strings(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.name != "BlobProto"


def _texts(owner: Message, field: FieldDescriptor) -> list[str]:
    value = getattr(owner, field.name)
    return list(value) if field.is_repeated else [value]


def _replace(owner: Message, field: FieldDescriptor, convert: Callable[[str | bytes], str]) -> None:
    if field.is_repeated:
        texts = getattr(owner, field.name)
        converted = [convert(text) for text in texts]
        if converted != list(texts):
            del texts[:]
            texts.extend(converted)
    elif (text := convert(getattr(owner, field.name))) != getattr(owner, field.name):
        setattr(owner, field.name, text)


def _from_wire(text: str | bytes) -> str:
    """Strings that are not UTF-8 come out of protobuf as bytes."""
    return from_bytes(text) if isinstance(text, bytes) else from_native(text)


def _write_bytes(owner: Message, field: FieldDescriptor) -> None:
    # Protobuf refuses such bytes when they are assigned, but merges them.
    values = [to_bytes(text) for text in _texts(owner, field)]
    owner.ClearField(field.name)
    tag = wire.tag(field.number, wire.LENGTH)
    owner.MergeFromString(b"".join(tag + wire.write_varint(len(value)) + value for value in values))
