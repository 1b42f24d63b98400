"""Protobuf's wire format, walked without a schema: which fields a message has and where their bytes lie.

Nothing is decoded or copied, so walking a file of weights costs a few steps per layer. Lengths are checked against the
bytes that are there before anything is done with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
_MAX_VARINT = 10


class WireError(ValueError):
    """The bytes are no protobuf message; the text says why and at which byte."""


class WireField(NamedTuple):
    """One field: its number and wire type, where it begins, and where its value lies in the buffer."""

    number: int
    kind: int
    begin: int
    start: int
    end: int


def read_varint(data: bytes | memoryview, at: int, end: int | None = None) -> tuple[int, int]:
    """Return the variable-length integer at ``at`` and the position behind it. Raises WireError.

    It has 7 bits a byte, low bits first, the top bit set while more follow.
    """
    end = len(data) if end is None else end
    value = 0
    for shift in range(_MAX_VARINT):
        if at >= end:
            raise WireError(f"a number is cut off at byte {end}")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at
    raise WireError(f"a number at byte {at - _MAX_VARINT} is longer than {_MAX_VARINT} bytes")


def write_varint(value: int) -> bytes:
    """Return a non-negative integer in the variable-length notation."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, kind: int) -> bytes:
    """Return the bytes that begin a field."""
    return write_varint(number << 3 | kind)


def fields(data: bytes | memoryview, start: int = 0, end: int | None = None) -> Iterator[WireField]:
    """Walk the fields of the message in ``data[start:end]``. Raises WireError."""
    at = start
    stop = len(data) if end is None else end
    while at < stop:
        field = _field(data, at, stop)
        yield field
        at = field.end


def _field(data: bytes | memoryview, begin: int, stop: int) -> WireField:
    key, at = read_varint(data, begin, stop)
    number, kind = key >> 3, key & 7
    if number == 0 or number >= 1 << 29:
        raise WireError(f"the field at byte {begin} has the number {number}, which no field has")
    if kind == LENGTH:
        length, at = read_varint(data, at, stop)
        end = at + length
    elif kind == VARINT:
        end = read_varint(data, at, stop)[1]
    elif kind in _FIXED_SIZES:
        end = at + _FIXED_SIZES[kind]
    elif kind == GROUP:
        end = _group_end(data, number, at, stop)
    else:
        raise WireError(f"the field {number} at byte {begin} has the wire type {kind}, which does not exist here")
    if end > stop:
        raise WireError(
            f"the field {number} at byte {begin} claims to go on to byte {end}, but its message ends at byte {stop}"
        )
    return WireField(number, kind, begin, at, end)


def _group_end(data: bytes | memoryview, number: int, at: int, stop: int) -> int:
    """Return where the group ends whose content begins at ``at``; groups in it are skipped without recursion."""
    open_groups = [number]
    while open_groups:
        key, behind = read_varint(data, at, stop)
        if key & 7 == GROUP:
            open_groups.append(key >> 3)
            at = behind
        elif key & 7 == END_GROUP:
            if key >> 3 != open_groups.pop():
                raise WireError(f"the group that ends at byte {at} is not the one that began")
            at = behind
        else:
            at = _field(data, at, stop).end
    return at
