"""Files in LevelDB's log format: records, divided among blocks of 32 KiB, and the writes they hold.

Caffe's tools write whole databases of 256 MB as one log, so values stay in the file until they are asked for.
"""

from __future__ import annotations

import bisect
import mmap
import operator
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from segcaffe.data.leveldb_checksum import begins_with, checksum
from segcaffe.data.varint import read_slice, read_varint
from segcaffe.files.regular import opened_inside

Entry = tuple[bytes, int, bytes]
"""Key, minus the sequence number and kind (so that newer entries sort first), value."""

DELETED, PUT = 0, 1

_BLOCK = 32768
_HEAD = 7


class Record:
    """A record: pieces of the file, put together where they are read.

    Parameters
    ----------
    content:
        The whole file.
    pieces:
        First byte and length of each piece.
    """

    def __init__(self, content: memoryview, pieces: list[tuple[int, int]]) -> None:
        self._content, self._pieces = content, pieces
        self._ends = list(accumulate(length for _, length in pieces))

    @property
    def size(self) -> int:
        """Its number of bytes."""
        return self._ends[-1]

    def read(self, at: int, length: int) -> bytes:
        """So many bytes from position ``at``."""
        parts = []
        index = bisect.bisect_right(self._ends, at)
        while length > 0:
            start, size = self._pieces[index]
            offset = at - (self._ends[index] - size)
            part = self._content[start + offset : start + min(size, offset + length)]
            parts.append(part)
            at, length, index = at + len(part), length - len(part), index + 1
        return b"".join(parts)


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file; ValueError where it is damaged.

    A record cut off at the end was never written in full, and does not count.
    """
    content = _mapped(path)
    pieces = list[tuple[int, int]]()
    for kind, start, length in _pieces(content):
        # Kinds: 1 whole, 2 first, 3 middle, 4 last part.
        if kind > 2 and not pieces:
            raise ValueError(f"the part of a record at byte {start - _HEAD} lacks what comes before it")
        if kind <= 2:
            pieces = []
        pieces.append((start, length))
        if kind in (1, 4):
            yield Record(content, pieces)
            pieces = []


def _pieces(content: memoryview) -> Iterator[tuple[int, int, int]]:
    """Kind, first byte and length of each piece of a record, its checksum compared."""
    at = 0
    while at + _HEAD <= len(content):
        left = _BLOCK - at % _BLOCK
        if left < _HEAD or not any(content[at : at + _HEAD]):
            # Zeros fill what is left of a block, or lie in space that was reserved.
            at += left
            continue
        stored, length, kind = struct.unpack_from("<IHB", content, at)
        start, at = at + _HEAD, at + _HEAD + length
        if length > left - _HEAD or kind not in range(1, 5):
            raise ValueError(f"the head of the record at byte {start - _HEAD} is damaged")
        if at > len(content):
            # Cut off, unless there is all that the checksum is of: then the length is wrong.
            if begins_with(stored, bytes(content[start - 1 :])):
                raise ValueError(f"the length of the record at byte {start - _HEAD} is wrong")
            return
        # The checksum is of the kind and the content.
        if checksum(bytes(content[start - 1 : at])) != stored:
            raise ValueError(f"the checksum of the record at byte {start - _HEAD} is wrong")
        yield kind, start, length


@dataclass(frozen=True, slots=True)
class Write:
    """A key's value in a record, or its deletion."""

    key: bytes
    order: int
    """Minus the sequence number and kind."""
    record: Record
    at: int
    length: int

    def entry(self) -> Entry:
        """With the value read."""
        return self.key, self.order, self.record.read(self.at, self.length)


class Logs:
    """The writes of log files, sorted, each file looked through once unless it changes."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], list[Write]]] = {}

    def entries(self, path: Path) -> Iterator[Entry]:
        """The entries of a file in the order of their keys; ValueError where it is damaged."""
        status = path.stat()
        state = status.st_size, status.st_mtime_ns
        if self._known.get(path, ((), []))[0] != state:
            writes = [write for record in read_records(path) for write in _writes(record)]
            self._known[path] = state, sorted(writes, key=operator.attrgetter("key", "order"))
        return (write.entry() for write in self._known[path][1])


def _writes(record: Record) -> Iterator[Write]:
    """The entries of a batch of writes."""
    if record.size < 12:
        raise ValueError("a batch is too short")
    content = record.read(0, record.size)
    (sequence,) = struct.unpack_from("<Q", content)
    at = 12
    while at < len(content):
        kind = content[at]
        if kind not in (DELETED, PUT):
            raise ValueError("a batch is damaged")
        key, at = read_slice(content, at + 1)
        length, at = read_varint(content, at) if kind == PUT else (0, at)
        if at + length > len(content):
            raise ValueError("a batch is damaged")
        yield Write(key, -(sequence << 8 | kind), record, at, length)
        at += length
        sequence += 1


def _mapped(path: Path) -> memoryview:
    with opened_inside(path.parent, path) as file:
        # An empty file can't be mapped.
        size = file.seek(0, 2)
        return memoryview(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b"")
