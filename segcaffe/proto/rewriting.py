"""A net's bytes with other numbers in it, at every depth outside of blobs; nothing is decoded."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor

from segcaffe.proto import wire
from segcaffe.proto.caffe_pb2 import NetParameter

_BLOB = "BlobProto"
"""The message that is not looked into: it is most of the file."""
_NET: Any = NetParameter.DESCRIPTOR


class Place(NamedTuple):
    """A field on the wire: the bytes it lies in, the field, the message that it is in, and the one around that."""

    data: memoryview
    field: wire.WireField
    kind: Descriptor
    parent: Descriptor | None

    @property
    def payload(self) -> bytes:
        """The field's value."""
        return bytes(self.data[self.field.start : self.field.end])


class Renamed(NamedTuple):
    """What a field becomes: its number, its value where that changes, the message that it is looked into as."""

    number: int
    value: bytes | None = None
    inner: Descriptor | None = None


Rule = Callable[[Place], Renamed]


def rewritten(data: bytes, rule: Rule, *, ordered: bool = False) -> bytes:
    """Return a net's bytes with each field as the rule says; ``data`` itself where nothing changes.

    Where ``ordered``, the fields of a message that are not in the order of their numbers are brought into it, as C++
    writes them. Raises wire.WireError for bytes that are no message.
    """
    changed = _message(memoryview(data), (0, len(data)), _NET, None, rule, ordered)
    return data if changed is None else changed


def _message(
    data: memoryview, span: tuple[int, int], kind: Descriptor, parent: Descriptor | None, rule: Rule, ordered: bool
) -> bytes | None:
    """Return the bytes of a message with other fields in it, None where none changes."""
    pieces: list[tuple[int, bytes | None, wire.WireField]] = []
    changes = False
    for field in wire.fields(data, *span):
        new = rule(Place(data, field, kind, parent))
        value = new.value
        if value is None and new.inner is not None and new.inner.name != _BLOB and field.kind == wire.LENGTH:
            value = _message(data, (field.start, field.end), new.inner, kind, rule, ordered)
        is_new = value is not None or new.number != field.number
        changes |= is_new
        pieces.append((new.number, _written(data, field, new.number, value) if is_new else None, field))
    if ordered and any(first[0] > second[0] for first, second in pairwise(pieces)):
        changes = True
        pieces.sort(key=lambda piece: piece[0])
    if not changes:
        return None
    return b"".join(data[field.begin : field.end] if new is None else new for _, new, field in pieces)


def _written(data: memoryview, field: wire.WireField, number: int, value: bytes | None) -> bytes:
    payload = data[field.start : field.end] if value is None else value
    length = wire.write_varint(len(payload)) if field.kind == wire.LENGTH else b""
    return b"".join((wire.tag(number, field.kind), length, payload))
