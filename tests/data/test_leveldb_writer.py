"""LevelDB databases that we write: read by our reader, and held against the format as tests' own writer has it."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcaffe.data.database_writer import create_database
from segcaffe.data.leveldb import entries
from segcaffe.data.leveldb_checksum import checksum
from segcaffe.data.leveldb_log import read_records
from segcaffe.data.leveldb_writer import LevelDbWriter, log_content
from tests.data.leveldb_files import log

ITEMS = st.lists(st.tuples(st.text(max_size=6), st.binary(max_size=40)), max_size=40)


def write(folder: Path, items: list[tuple[str, bytes]], table_bytes: int = 1 << 25) -> Path:
    writer = LevelDbWriter(folder, table_bytes)
    for key, value in items:
        writer.put(key, value)
    writer.finish()
    return folder


def levels(folder: Path) -> list[int]:
    """The level of each table, as the manifest has it."""
    records = [record.read(0, record.size) for record in read_records(folder / "MANIFEST-000002")]
    assert records[0][0] == 1
    return [record[1] for record in records[1:]]


@given(items=ITEMS, table_bytes=st.sampled_from([1, 100, 1 << 25]))
@settings(max_examples=60, deadline=None)
def test_what_was_put_is_there_in_order_and_the_last_value_counts(
    items: list[tuple[str, bytes]], table_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = list(entries(write(Path(folder), items, table_bytes)))
    assert found == sorted((key.encode(), value) for key, value in dict(items).items())


@pytest.mark.parametrize("size", [0, 1, 4000, 4096, 5000, 300_000])
def test_values_of_any_size(size: int, tmp_path: Path) -> None:
    items = [(f"{i:08d}_x", bytes([i]) * size) for i in range(40)]
    assert list(entries(write(tmp_path, items))) == [(key.encode(), value) for key, value in items]


def test_tables_in_order_lie_in_the_last_level_where_nothing_is_tidied_up(tmp_path: Path) -> None:
    for name in ("order", "mixed"):
        (tmp_path / name).mkdir()
    items = [(f"{i:08d}", b"x" * 100) for i in range(100)]
    assert set(levels(write(tmp_path / "order", items, 1000))) == {6}
    assert set(levels(write(tmp_path / "mixed", [*items[50:], *items[:60]], 1000))) == {0}
    assert dict(entries(tmp_path / "mixed")) == dict(entries(tmp_path / "order"))


def test_an_empty_database(tmp_path: Path) -> None:
    assert list(entries(write(tmp_path, []))) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["CURRENT", "MANIFEST-000002"]


def test_a_table_byte_by_byte(tmp_path: Path) -> None:
    """Written out by hand after LevelDB's description of the format."""
    content = (write(tmp_path, [("aa", b"1"), ("ab", b"22")]) / "000003.ldb").read_bytes()
    first, second = b"aa" + struct.pack("<Q", 1 << 8 | 1), b"ab" + struct.pack("<Q", 2 << 8 | 1)
    data = b"\0\x0a\x01" + first + b"1" + b"\1\x09\x02" + second[1:] + b"22" + struct.pack("<II", 0, 1)
    meta = struct.pack("<II", 0, 1)
    index = b"\0\x0a\2" + second + bytes([0, len(data)]) + struct.pack("<II", 0, 1)
    expected = b"".join(block + b"\0" + struct.pack("<I", checksum(block + b"\0")) for block in (data, meta, index))
    handles = bytes([len(data) + 5, len(meta), len(data) + len(meta) + 10, len(index)])
    assert content == expected + handles.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


@pytest.mark.parametrize("size", [0, 1, 32761, 32762, 32768, 40000, 100_000])
def test_logs_are_divided_at_the_same_places(size: int) -> None:
    records = [b"a" * size, b"b" * (size // 2), b"c" * 10]
    assert log_content(records) == log(records)


def test_names_in_any_encoding(tmp_path: Path) -> None:
    with create_database(tmp_path / "db", "leveldb", "test") as writer:
        writer.put("0_\udce9", b"1")
        writer.put("1_é", b"2")
    assert [key for key, _ in entries(tmp_path / "db")] == [b"0_\xe9", "1_é".encode()]


def test_a_failure_in_between_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AttributeError), create_database(tmp_path / "db", "leveldb", "test") as writer:
        writer.put(b"no text", b"1")  # type: ignore[arg-type]
    assert [path for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []
