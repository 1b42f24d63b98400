"""Integers of variable length: 7 bits a byte, low bits first, the top bit set while more follow."""

from __future__ import annotations


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The integer at position ``at`` and the position behind it; ValueError where the data ends or it is too long."""
    value = shift = 0
    while at < len(data) and shift < 64:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError("a number is cut off")


def read_slice(data: bytes, at: int) -> tuple[bytes, int]:
    """The bytes behind a length at position ``at`` and the position behind them; ValueError where the data ends."""
    length, at = read_varint(data, at)
    if at + length > len(data):
        raise ValueError("a value is cut off")
    return data[at : at + length], at + length
