"""Reading LevelDB databases: the values in the order of their keys, without writing to the folder or locking it.

A database is a set of sorted tables in levels, and a log of the writes that are in no table yet. Of several entries
for one key the one with the highest sequence number counts. In level 0 tables may overlap, in the others not.
"""

from __future__ import annotations

import heapq
import itertools
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from segcaffe.data.leveldb_checksum import checksum
from segcaffe.data.leveldb_log import PUT, Entry, Logs, read_records
from segcaffe.data.leveldb_table import MAGIC
from segcaffe.data.leveldb_writer import COMPARATOR, LAST_LEVEL
from segcaffe.data.snappy import decompress
from segcaffe.data.varint import read_slice, read_varint
from segcaffe.files.regular import opened_inside
from segcaffe.files.there import exists

_FOOTER = 48
_TRAILER = 5
_LEVELS = LAST_LEVEL + 1
_MOST_NAME = 80


def entries(folder: Path, logs: Logs | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values in the order of the keys.

    Parameters
    ----------
    logs:
        What is known of the logs from an earlier call.

    Raises
    ------
    OSError
        A file can't be read.
    ValueError
        A file is damaged, or orders its keys in a way of its own; the text says which and what.
    """
    version = _read_version(folder)
    sources = [_table(_table_path(folder, number)) for _, number in version.level(0)]
    for level in range(1, _LEVELS):
        # Opened one after the other: a large database has thousands of tables.
        paths = [_table_path(folder, number) for _, number in version.level(level)]
        sources.append(itertools.chain.from_iterable(map(_table, paths)))
    sources += [_logged(path, logs or Logs()) for path in _log_paths(folder, version)]
    previous = None
    for key, minus_sequence, value in heapq.merge(*sources):
        if key != previous and -minus_sequence & 255 == PUT:
            yield key, value
        previous = key


@dataclass
class _Version:
    """What the manifest says is current."""

    tables: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """Smallest key by (level, number)."""
    log: int = 0
    previous_log: int = 0

    def level(self, level: int) -> list[tuple[int, int]]:
        """The tables of a level, in the order of their keys."""
        return sorted((table for table in self.tables if table[0] == level), key=lambda table: self.tables[table])


def _read_version(folder: Path) -> _Version:
    current = folder / "CURRENT"
    with opened_inside(folder, current) as file:
        name = file.read(_MOST_NAME).rstrip(b"\n").decode("ascii", "replace")
    if re.fullmatch(r"MANIFEST-[0-9]{1,20}", name) is None:
        raise ValueError(
            f'"{current}": it must name a manifest of this folder, as MANIFEST-000004. Received: {name!r:.80}'
        )
    manifest = folder / name
    version = _Version()
    with _Damage(manifest):
        for record in read_records(manifest):
            _apply_edit(version, record.read(0, record.size))
    return version


def _apply_edit(version: _Version, record: bytes) -> None:
    at = 0
    while at < len(record):
        tag, at = read_varint(record, at)
        if tag == 1:
            comparator, at = read_slice(record, at)
            if comparator != COMPARATOR:
                raise ValueError(f"keys are ordered by {comparator.decode(errors='replace')}, which is not known here")
        elif tag == 5:
            _, at = read_varint(record, at)
            _, at = read_slice(record, at)
        elif tag in (2, 3, 4, 9):
            number, at = read_varint(record, at)
            version.log = number if tag == 2 else version.log
            version.previous_log = number if tag == 9 else version.previous_log
        elif tag in (6, 7):
            at = _apply_table(version, record, at, new=tag == 7)
        else:
            raise ValueError(f"tag {tag} is not known")


def _apply_table(version: _Version, record: bytes, at: int, new: bool) -> int:
    level, at = read_varint(record, at)
    if level >= _LEVELS:
        raise ValueError(f"level {level} does not exist")
    number, at = read_varint(record, at)
    if not new:
        version.tables.pop((level, number), None)
        return at
    _, at = read_varint(record, at)
    smallest, at = read_slice(record, at)
    _, at = read_slice(record, at)
    version.tables[level, number] = smallest[:-8]
    return at


def _table_path(folder: Path, number: int) -> Path:
    path = folder / f"{number:06d}.ldb"
    return path if exists(path) else path.with_suffix(".sst")


def _table(path: Path) -> Iterator[Entry]:
    """The entries of one table."""
    with _Damage(path), opened_inside(path.parent, path) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _FOOTER))
        footer = file.read(_FOOTER)
        if len(footer) < _FOOTER or struct.unpack_from("<Q", footer, 40)[0] != MAGIC:
            raise ValueError("it does not end as a table does")
        _, at = read_varint(footer, 0)
        _, at = read_varint(footer, at)
        begin = 0
        for _, handle in _block(_read_block(file, *_place(footer, at))):
            offset, length = _place(handle, 0)
            if offset < begin:
                # An index that names the same blocks again and again would make a database without end.
                raise ValueError("its blocks overlap")
            begin = offset + length
            for key, value in _block(_read_block(file, offset, length)):
                if len(key) < 8:
                    raise ValueError("a key is too short")
                yield key[:-8], -int.from_bytes(key[-8:], "little"), value


def _place(handle: bytes, at: int) -> tuple[int, int]:
    """First byte and length of a block."""
    offset, at = read_varint(handle, at)
    return offset, read_varint(handle, at)[0]


def _read_block(file: BinaryIO, offset: int, length: int) -> bytes:
    if offset + length + _TRAILER > file.seek(0, 2):
        raise ValueError("a block lies outside the file")
    file.seek(offset)
    # Behind a block: one byte says how it is compressed, four are the checksum of all before them.
    content = file.read(length + 1)
    if checksum(content) != int.from_bytes(file.read(4), "little"):
        raise ValueError(f"the checksum of the block at byte {offset} is wrong")
    if content[-1] == 0:
        return content[:-1]
    if content[-1] == 1:
        return decompress(content[:-1])
    raise ValueError(f"compression {content[-1]} is not known")


def _block(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; a key is written as what it does not share with the one before."""
    end = len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")
    if end < 0:
        raise ValueError("a block is too short")
    at, key = 0, b""
    while at < end:
        shared, at = read_varint(block, at)
        unshared, at = read_varint(block, at)
        length, at = read_varint(block, at)
        if shared > len(key) or at + unshared + length > end:
            raise ValueError("a block is damaged")
        key = key[:shared] + block[at : at + unshared]
        at += unshared + length
        yield key, block[at - length : at]


def _log_paths(folder: Path, version: _Version) -> list[Path]:
    """The logs whose writes are in no table yet."""
    numbered = [(int(path.stem), path) for path in folder.glob("*.log") if path.stem.isdecimal()]
    return [path for number, path in numbered if number >= version.log or number == version.previous_log]


def _logged(path: Path, logs: Logs) -> Iterator[Entry]:
    with _Damage(path):
        yield from logs.entries(path)


class _Damage:
    """Says which file a ValueError is about."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError):
            raise ValueError(f'"{self.path}": {error}') from error
