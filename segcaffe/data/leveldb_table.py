"""Writing sorted tables, the files in which LevelDB keeps keys and values (its doc/table_format.md).

A table is blocks of keys and values, a block that would name filters and the like, and an index with the last key of
each block. Nothing is compressed; LevelDB reads either.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import BinaryIO

from segcaffe.data.leveldb_checksum import checksum
from segcaffe.proto.wire import write_varint

MAGIC = 0xDB4775248B80FB57
_BLOCK_BYTES = 4096
_WHOLE_KEY_EVERY = 16
_UNCOMPRESSED = b"\0"


def write_table(file: BinaryIO, items: Iterable[tuple[bytes, bytes]]) -> int:
    """Write a table of keys, with the 8 bytes that tables have behind them and in order, and their values.

    Returns
    -------
    int
        Its size in bytes.
    """
    blocks, block, index = _Blocks(file), _Block(), _Block(whole_key_every=1)
    for key, value in items:
        if block.size and block.size + len(key) + len(value) > _BLOCK_BYTES:
            index.add(block.last, blocks.append(block))
            block = _Block()
        block.add(key, value)
    if block.size:
        index.add(block.last, blocks.append(block))
    handles = blocks.append(_Block()) + blocks.append(index)
    file.write(handles.ljust(40, b"\0") + struct.pack("<Q", MAGIC))
    return file.tell()


class _Block:
    """Keys and values; a key without the beginning it shares with the one before, but for every so-many-th."""

    def __init__(self, whole_key_every: int = _WHOLE_KEY_EVERY) -> None:
        self._every = whole_key_every
        self._parts: list[bytes] = []
        self._whole: list[int] = []
        self._count = self.size = 0
        self.last = b""

    def add(self, key: bytes, value: bytes) -> None:
        """Append a key that comes after those that are there."""
        shared = _shared(key, self.last) if self._count % self._every else 0
        if self._count % self._every == 0:
            self._whole.append(self.size)
        head = b"".join(map(write_varint, (shared, len(key) - shared, len(value))))
        self._parts += (head, key[shared:], value)
        self.size += len(head) + len(key) - shared + len(value)
        self._count += 1
        self.last = key

    def content(self) -> bytes:
        """The block's bytes: behind the entries, where those with whole keys begin."""
        whole = self._whole or [0]
        return b"".join([*self._parts, struct.pack(f"<{len(whole)}II", *whole, len(whole))])


def _shared(first: bytes, second: bytes) -> int:
    """How many bytes two keys have in common at their beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (one, other) in pairs if one != other), min(len(first), len(second)))


class _Blocks:
    """Puts blocks into a file, each with its checksum."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def append(self, block: _Block) -> bytes:
        """Write a block; returns where it lies and its size, as the index has them."""
        at, content = self._file.tell(), block.content()
        self._file.write(content + _UNCOMPRESSED + struct.pack("<I", checksum(content + _UNCOMPRESSED)))
        return write_varint(at) + write_varint(len(content))
