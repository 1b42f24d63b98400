"""Writing LevelDB databases: tables, and a manifest that says which there are (LevelDB's doc/impl.md).

Where keys come in order, as Caffe's tools write them, the tables lie one behind the other in the last level, so that
LevelDB finds nothing to tidy up when it opens the database.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from segcaffe.data.leveldb_checksum import checksum
from segcaffe.data.leveldb_table import write_table
from segcaffe.proto.wire import write_varint

COMPARATOR = b"leveldb.BytewiseComparator"
LAST_LEVEL = 6
_TABLE_BYTES = 1 << 25
"""Content of a table, which is in memory until then."""
_LOG_BLOCK, _LOG_HEAD = 32768, 7
_WHOLE, _FIRST, _MIDDLE, _LAST = range(1, 5)
_PUT = 1
_MANIFEST, _FIRST_TABLE = 2, 3
"""Numbers of files."""


class LevelDbWriter:
    """Writes a database into an empty folder; of several values of a key the last counts. OSError where it cannot.

    Nothing is a database until `finish` was called.
    """

    def __init__(self, folder: Path, table_bytes: int = _TABLE_BYTES) -> None:
        self._folder, self._table_bytes = folder, table_bytes
        self._pending: dict[bytes, tuple[int, bytes]] = {}
        self._bytes = self._sequence = 0
        self._tables: list[_Table] = []

    def put(self, key: str, value: bytes) -> None:
        """Add an item."""
        self._sequence += 1
        name = key.encode("utf-8", "surrogateescape")
        self._pending[name] = self._sequence, value
        self._bytes += len(name) + len(value)
        if self._bytes >= self._table_bytes:
            self._flush()

    def finish(self) -> None:
        """Write what is pending, the manifest, and the file that names it."""
        self._flush()
        name = f"MANIFEST-{_MANIFEST:06d}"
        (self._folder / name).write_bytes(log_content(self._edits()))
        (self._folder / "CURRENT").write_bytes(f"{name}\n".encode())

    def _flush(self) -> None:
        """Write a table of what is pending."""
        if not self._pending:
            return
        number = _FIRST_TABLE + len(self._tables)
        keys = sorted(self._pending)
        with (self._folder / f"{number:06d}.ldb").open("wb") as file:
            size = write_table(file, ((self._internal(key), self._pending[key][1]) for key in keys))
        self._tables.append(_Table(number, size, self._internal(keys[0]), self._internal(keys[-1])))
        self._pending, self._bytes = {}, 0

    def _internal(self, key: bytes) -> bytes:
        """A pending key as tables have it: behind it the number of the write, and that it is no deletion."""
        return key + struct.pack("<Q", self._pending[key][0] << 8 | _PUT)

    def _edits(self) -> Iterator[bytes]:
        """The manifest's records: what holds for the database, then one for each table."""
        # No log holds writes that are in no table, so its number is 0.
        numbers = {2: 0, 3: _FIRST_TABLE + len(self._tables), 4: self._sequence}
        yield b"\1" + _sized(COMPARATOR) + b"".join(bytes([tag]) + write_varint(n) for tag, n in numbers.items())
        in_order = all(before.last[:-8] < after.first[:-8] for before, after in itertools.pairwise(self._tables))
        # In level 0 tables may overlap, and the newer of two counts.
        level = LAST_LEVEL if in_order else 0
        for table in self._tables:
            place = b"".join(map(write_varint, (level, table.number, table.size)))
            yield b"\7" + place + _sized(table.first) + _sized(table.last)


class _Table(NamedTuple):
    """A table: the number of its file, its size in bytes, its first and its last key."""

    number: int
    size: int
    first: bytes
    last: bytes


def log_content(records: Iterable[bytes]) -> bytes:
    """A file in LevelDB's log format (its doc/log_format.md), which manifests are in, too.

    A record is divided where a block of 32 KiB ends.
    """
    out = bytearray()
    for record in records:
        rest, begun = memoryview(record), False
        while rest or not begun:
            room = _LOG_BLOCK - len(out) % _LOG_BLOCK
            if room < _LOG_HEAD:
                out += bytes(room)
                room = _LOG_BLOCK
            piece, rest = rest[: room - _LOG_HEAD], rest[room - _LOG_HEAD :]
            kind = (_MIDDLE if rest else _LAST) if begun else (_FIRST if rest else _WHOLE)
            content = bytes([kind]) + piece
            out += struct.pack("<IH", checksum(content), len(piece)) + content
            begun = True
    return bytes(out)


def _sized(content: bytes) -> bytes:
    return write_varint(len(content)) + content
