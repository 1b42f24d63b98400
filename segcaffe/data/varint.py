"""Numbers and pieces of variable length as LevelDB and Snappy write them, which is as protobuf does."""

from __future__ import annotations

from segcaffe.proto.wire import read_varint

__all__ = ["read_slice", "read_varint"]


def read_slice(data: bytes, at: int) -> tuple[bytes, int]:
    """The bytes behind a length at position ``at`` and the position behind them; ValueError where the data ends."""
    length, at = read_varint(data, at)
    if at + length > len(data):
        raise ValueError("a value is cut off")
    return data[at : at + length], at + length
