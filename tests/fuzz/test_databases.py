"""A short run of damaged databases, and proof that it sees what it looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from segcaffe.data.database import Database
from segcaffe.proto.caffe_pb2 import DataParameter
from tests.fuzz import databases
from tests.fuzz.databases import damaged, read_all, run, write_leveldb, write_lmdb

COUNTS = {"lmdb": 120, "leveldb": 80}


@pytest.mark.parametrize("kind", COUNTS)
def test_damaged_databases(kind: str) -> None:
    outcome = run(kind, COUNTS[kind])
    assert outcome.failures == ()
    assert outcome.loaded + outcome.refused == COUNTS[kind]
    assert outcome.refused > COUNTS[kind] // 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", COUNTS)
def test_many_damaged_databases(kind: str) -> None:
    assert run(kind, 600, first=COUNTS[kind]).failures == ()


def test_damage_can_be_repeated(tmp_path: Path) -> None:
    whole = write_lmdb(tmp_path / "db", 300, 90)
    assert [damaged(whole, i) for i in range(20)] == [damaged(whole, i) for i in range(20)]
    assert len({damaged(whole, i) for i in range(20)}) > 15


def test_a_silent_change_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its checksums a database would be read as what it is not."""
    monkeypatch.setattr("segcaffe.data.leveldb.checksum", lambda content: _Anything())
    failures = run("leveldb", 60).failures
    assert "read without an error, but not what was written" in {failure.what for failure in failures}


class _Anything(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "lmdb", 300, 90)
    assert read_all(tmp_path / "lmdb", DataParameter.LMDB) == databases.contents(300, 90)
    items = write_leveldb(tmp_path / "leveldb")
    assert len(items) == Database(str(tmp_path / "leveldb"), DataParameter.LEVELDB, "test").count() == 44
