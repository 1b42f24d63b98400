"""Writing the files of a LevelDB database, for tests."""

from __future__ import annotations

import struct
from pathlib import Path

from segcaffe.data.leveldb_checksum import checksum

Entry = tuple[bytes, int, bytes | None]
"""Key, sequence number, value (None: the key is deleted)."""


def varint(value: int) -> bytes:
    """An integer, 7 bits a byte, low bits first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def sized(data: bytes) -> bytes:
    """Data behind its length."""
    return varint(len(data)) + data


def log(records: list[bytes]) -> bytes:
    """A file in log format: blocks of 32768 bytes, records divided where a block ends."""
    out = bytearray()
    for record in records:
        at, first = 0, True
        while first or at < len(record):
            left = 32768 - len(out) % 32768
            if left < 7:
                out += bytes(left)
                continue
            piece = record[at : at + left - 7]
            at += len(piece)
            last = at == len(record)
            kind = 1 if first and last else 2 if first else 4 if last else 3
            out += struct.pack("<IHB", checksum(bytes([kind]) + piece), len(piece), kind) + piece
            first = False
    return bytes(out)


def batch(entries: list[Entry]) -> bytes:
    """A batch of writes with rising sequence numbers."""
    out = struct.pack("<QI", entries[0][1], len(entries))
    for key, _, value in entries:
        out += b"\0" + sized(key) if value is None else b"\1" + sized(key) + sized(value)
    return out


def internal(key: bytes, sequence: int, value: bytes | None) -> bytes:
    """A key as tables hold it."""
    return key + struct.pack("<Q", sequence << 8 | (value is not None))


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A block; each key without the beginning it shares with the one before."""
    out, before = bytearray(), b""
    for key, value in entries:
        shared = next(
            (i for i, (a, b) in enumerate(zip(key, before, strict=False)) if a != b), min(len(key), len(before))
        )
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return bytes(out) + struct.pack("<II", 0, 1)


def table(entries: list[Entry], block_size: int = 2, compressed: bool = False) -> bytes:
    """A table of blocks of that many entries."""
    out, index = bytearray(), []
    items = [(internal(*entry), entry[2] or b"") for entry in sorted(entries, key=lambda e: (e[0], -e[1]))]
    for start in range(0, len(items), block_size):
        part = items[start : start + block_size]
        index.append((part[-1][0], _append(out, block(part), compressed)))
    handles = _append(out, block([]), False) + _append(out, block(index), compressed)
    return bytes(out) + handles.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def _append(out: bytearray, content: bytes, compressed: bool) -> bytes:
    """Append a block; return its handle."""
    if compressed:
        # Literals only: valid, if not small.
        parts = [content[i : i + 60] for i in range(0, len(content), 60)]
        content = varint(len(content)) + b"".join(bytes([(len(part) - 1) << 2]) + part for part in parts)
    handle = varint(len(out)) + varint(len(content))
    content += bytes([compressed])
    out += content + struct.pack("<I", checksum(content))
    return handle


def write_database(
    folder: Path,
    tables: list[tuple[int, list[Entry]]],
    logged: list[list[Entry]],
    comparator: bytes = b"leveldb.BytewiseComparator",
    compressed: bool = False,
) -> None:
    """A database of tables, each with its level, and batches of logged writes."""
    folder.mkdir(exist_ok=True)
    edit = b"\1" + sized(comparator) + b"\2" + varint(3) + b"\3" + varint(9) + b"\4" + varint(100)
    for number, (level, entries) in enumerate(tables, start=10):
        content = table(entries, compressed=compressed)
        (folder / f"{number:06d}.{'sst' if number % 2 else 'ldb'}").write_bytes(content)
        keys = sorted(entry[0] for entry in entries)
        ends = sized(keys[0] + bytes(8)) + sized(keys[-1] + bytes(8))
        edit += b"\7" + varint(level) + varint(number) + varint(len(content)) + ends
    (folder / "000002.log").write_bytes(log([batch([(b"old", 1, b"no longer counts")])]))
    (folder / "000003.log").write_bytes(log([batch(entries) for entries in logged]))
    (folder / "MANIFEST-000001").write_bytes(log([edit]))
    (folder / "CURRENT").write_text("MANIFEST-000001\n")
