from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcaffe.data import leveldb_log
from segcaffe.data.database import Database
from segcaffe.data.leveldb import entries
from segcaffe.data.leveldb_log import Logs
from segcaffe.proto import caffe_pb2
from tests.data.leveldb_files import Entry, write_database

KEYS = [f"key{i:03d}".encode() for i in range(6)]
GOLDEN = Path(__file__).parents[1] / "golden_data" / "data"


def newest(all_entries: list[Entry]) -> list[tuple[bytes, bytes]]:
    """What a database with these entries holds."""
    latest: dict[bytes, Entry] = {}
    for entry in sorted(all_entries, key=lambda entry: entry[1]):
        latest[entry[0]] = entry
    return [(key, latest[key][2] or b"") for key in sorted(latest) if latest[key][2] is not None]


@pytest.mark.parametrize("compressed", [False, True])
def test_levels_overwrites_and_deletions(tmp_path: Path, compressed: bool) -> None:
    tables: list[tuple[int, list[Entry]]] = [
        (2, [(KEYS[0], 1, b"a"), (KEYS[1], 2, b"b")]),
        (2, [(KEYS[4], 3, b"e")]),
        (1, [(KEYS[1], 4, b"B"), (KEYS[2], 5, b"c" * 200), (KEYS[3], 6, b"d")]),
        (0, [(KEYS[4], 7, None), (KEYS[2], 8, b"C")]),
        (0, [(KEYS[3], 9, b"D")]),
    ]
    logged: list[list[Entry]] = [[(KEYS[0], 10, None), (KEYS[5], 11, b"f")], [(KEYS[3], 12, b"last")]]
    write_database(tmp_path / "db", tables, logged, compressed=compressed)
    everything = [entry for _, part in tables for entry in part] + [entry for part in logged for entry in part]
    assert list(entries(tmp_path / "db")) == newest(everything)


def test_records_longer_than_a_block_of_the_log(tmp_path: Path) -> None:
    logged: list[list[Entry]] = [[(key, i, bytes([i]) * 33000)] for i, key in enumerate(KEYS)]
    # Ends 3 bytes before a block does: too few for another record's head.
    logged.append([(b"z", 9, bytes(32768 * 7 - 6 * 33021 - 100))])
    write_database(tmp_path / "db", [], logged)
    assert list(entries(tmp_path / "db")) == newest([entry for part in logged for entry in part])


def test_a_long_log_is_read_in_linear_time_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Caffe's tools leave a database: all in the log, in few batches of many blocks each."""
    value = bytes(range(256)) * 768
    seconds = []
    for count in (50, 200):
        folder = tmp_path / str(count)
        write_database(folder, [], [[(b"%08d" % i, i, value) for i in range(count)]])
        start = time.process_time()
        database = Database(str(folder), caffe_pb2.DataParameter.LEVELDB, "test")
        assert database.item(0, 0) == value
        seconds.append(time.process_time() - start)
        assert [database.item(i, 0) for i in range(1, count)] == [value] * (count - 1)
    # 200 values are 39 MB. What grows with the square took 10 s here, what is linear a tenth of a second.
    assert seconds[1] < 39 / 100 + 0.5
    reads = []
    monkeypatch.setattr(leveldb_log, "read_records", lambda path: reads.append(path) or iter(()))
    assert database.item(count, 0) == value, "the next epoch"
    assert reads == []


def test_a_log_that_grows_is_read_again(tmp_path: Path) -> None:
    write_database(tmp_path / "db", [], [[(KEYS[0], 1, b"a")]])
    logs = Logs()
    assert list(entries(tmp_path / "db", logs)) == [(KEYS[0], b"a")]
    write_database(tmp_path / "db", [], [[(KEYS[0], 1, b"a")], [(KEYS[1], 2, b"b")]])
    assert list(entries(tmp_path / "db", logs)) == [(KEYS[0], b"a"), (KEYS[1], b"b")]


def test_a_record_cut_off_at_the_end_of_the_log_does_not_count(tmp_path: Path) -> None:
    write_database(tmp_path / "db", [], [[(KEYS[0], 1, b"a")], [(KEYS[1], 2, b"b")]])
    path = tmp_path / "db" / "000003.log"
    path.write_bytes(path.read_bytes()[:-1])
    assert list(entries(tmp_path / "db")) == [(KEYS[0], b"a")]


def test_a_comparator_of_its_own_is_refused(tmp_path: Path) -> None:
    write_database(tmp_path / "db", [], [[(KEYS[0], 1, b"a")]], comparator=b"mine")
    with pytest.raises(ValueError, match=r'MANIFEST-000001": keys are ordered by mine'):
        list(entries(tmp_path / "db"))


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_damage_is_a_value_error_or_harmless(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("db")
    write_database(
        folder, [(1, [(key, i, b"x" * 30) for i, key in enumerate(KEYS)])], [[(KEYS[0], 9, b"y")]], compressed=True
    )
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), at]))])
    try:
        found = list(entries(folder))
    except (ValueError, OSError):
        return
    assert all(isinstance(value, bytes) for _, value in found)


def _content(folder: Path) -> list[tuple[bytes, bytes]] | None:
    """What a database holds; None where it is said to be damaged."""
    try:
        return list(entries(folder))
    except (ValueError, OSError):
        return None


def _flip_bits(folder: Path, count: int) -> tuple[int, int]:
    """How many of so many single bits, flipped one after the other, are refused, and how many change what is read."""
    before, refused, changed = _content(folder), 0, 0
    generator = random.Random(1)
    files = [path for path in sorted(folder.iterdir()) if path.name not in ("LOCK", "LOG")]
    sizes = [path.stat().st_size for path in files]
    for _ in range(count):
        (path,) = generator.choices(files, sizes)
        content = path.read_bytes()
        at, bit = generator.randrange(len(content)), generator.randrange(8)
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        found = _content(folder)
        refused += found is None
        changed += found is not None and found != before
        path.write_bytes(content)
    return refused, changed


@pytest.mark.parametrize("compressed", [False, True])
def test_no_flipped_bit_changes_a_value_in_silence(tmp_path: Path, compressed: bool) -> None:
    tables: list[tuple[int, list[Entry]]] = [(1, [(key, i, bytes(range(30))) for i, key in enumerate(KEYS)])]
    logged: list[list[Entry]] = [[(KEYS[0], 9, b"y" * 40)], [(b"z", 10, b"last" * 9)]]
    write_database(tmp_path / "db", tables, logged, compressed=compressed)
    refused, changed = _flip_bits(tmp_path / "db", 600)
    assert changed == 0
    # What is not read can't change anything: half of a footer, the filters, a log that is done with.
    assert refused > 400


@pytest.mark.parametrize("name", ["data_leveldb_raw_a", "data_leveldb_png_encoded_crop_a"])
def test_checksums_of_leveldb_itself(tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(GOLDEN / name / "db", tmp_path / "db"))
    assert _content(folder)
    assert _flip_bits(folder, 300)[1] == 0


def test_every_bit_of_the_last_record_counts(tmp_path: Path) -> None:
    """A length that reaches past the end is damage and no record cut off, where all of a record is there."""
    logged: list[list[Entry]] = [[(KEYS[0], 1, b"a")], [(KEYS[1], 2, b"b")], [(KEYS[2], 3, b"c")]]
    write_database(tmp_path / "db", [], logged)
    path = tmp_path / "db" / "000003.log"
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert _content(tmp_path / "db") is None, bit


@pytest.mark.parametrize("name", ["../other/MANIFEST-000001", "/dev/null", "", "MANIFEST-"])
def test_the_manifest_lies_in_the_folder(tmp_path: Path, name: str) -> None:
    write_database(tmp_path / "db", [], [[(KEYS[0], 1, b"a")]])
    (tmp_path / "db" / "CURRENT").write_text(f"{name}\n")
    with pytest.raises(ValueError, match=r'CURRENT": it must name a manifest of this folder'):
        list(entries(tmp_path / "db"))
