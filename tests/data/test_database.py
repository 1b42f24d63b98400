from __future__ import annotations

import fcntl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import numpy as np
import pytest

from segcaffe.data.database import Database, Value
from segcaffe.data.datum import datum_array, parse_datum, split_datum
from segcaffe.errors import DataError
from segcaffe.proto import caffe_pb2
from tests.data.leveldb_files import write_database

BACKENDS = [caffe_pb2.DataParameter.LMDB, caffe_pb2.DataParameter.LEVELDB]
both = pytest.mark.parametrize("backend", BACKENDS, ids=["lmdb", "leveldb"])
COUNT = 5


def write(folder: Path, backend: int, count: int = COUNT) -> None:
    values = [(f"{i:08d}".encode(), f"value {i}".encode()) for i in range(count)]
    if backend == caffe_pb2.DataParameter.LEVELDB:
        write_database(folder, [], [[(key, i, value)] for i, (key, value) in enumerate(values)])
        return
    with lmdb.open(str(folder), map_size=1 << 20) as environment, environment.begin(write=True) as transaction:
        for key, value in values:
            transaction.put(key, value)


@both
def test_values_come_in_order_again_and_again(tmp_path: Path, backend: int) -> None:
    write(tmp_path / "db", backend)
    database = Database(str(tmp_path / "db"), backend, "layer")
    assert [database.item(i, 0) for i in range(12)] == [f"value {i % COUNT}".encode() for i in range(12)]
    assert database.count() == COUNT


@both
@pytest.mark.parametrize("number", [0, 3, 7, 10])
def test_any_number_can_be_asked_for(tmp_path: Path, backend: int, number: int) -> None:
    write(tmp_path / "db", backend)
    database = Database(str(tmp_path / "db"), backend, "layer")
    database.item(0, 0)
    assert [database.item(number + i, 0) for i in (0, 1, 0)] == [
        f"value {(number + i) % 5}".encode() for i in (0, 1, 0)
    ]


@both
def test_two_readers_of_one_database(tmp_path: Path, backend: int) -> None:
    write(tmp_path / "db", backend)
    first, second = (Database(str(tmp_path / "db"), backend, "layer") for _ in range(2))
    assert [first.item(0, 0), second.item(0, 0), first.item(1, 0)] == [b"value 0", b"value 0", b"value 1"]


@both
def test_reading_changes_no_file(tmp_path: Path, backend: int) -> None:
    write(tmp_path / "db", backend)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "db").iterdir()}
    Database(str(tmp_path / "db"), backend, "layer").item(3, 0)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "db").iterdir()} == before


@both
def test_an_empty_database(tmp_path: Path, backend: int) -> None:
    write(tmp_path / "db", backend, count=0)
    with pytest.raises(DataError, match=r'layer: the database ".*db" is empty'):
        Database(str(tmp_path / "db"), backend, "layer").item(0, 0)


@both
def test_a_missing_database(tmp_path: Path, backend: int) -> None:
    with pytest.raises(DataError, match="there is no database"):
        Database(str(tmp_path / "nothing"), backend, "layer")


@pytest.mark.parametrize(("written", "asked", "name"), [(*BACKENDS, "LMDB"), (*BACKENDS[::-1], "LEVELDB")])
def test_the_other_backend_is_named(tmp_path: Path, written: int, asked: int, name: str) -> None:
    write(tmp_path / "db", written)
    with pytest.raises(DataError, match=f"of the other kind; write backend: {name}"):
        Database(str(tmp_path / "db"), asked, "layer")


@both
def test_a_folder_that_is_no_database(tmp_path: Path, backend: int) -> None:
    with pytest.raises(DataError, match=r"cannot open LMDB database|not a LevelDB database"):
        Database(str(tmp_path), backend, "layer")


@both
def test_a_damaged_database(tmp_path: Path, backend: int) -> None:
    write(tmp_path / "db", backend)
    name = "data.mdb" if backend == caffe_pb2.DataParameter.LMDB else "MANIFEST-000001"
    (tmp_path / "db" / name).write_bytes(b"\0\0\0\0\7\0\1this is not it" * 1000)
    with pytest.raises(DataError, match=r"cannot open|damaged|empty"):
        Database(str(tmp_path / "db"), backend, "layer").item(0, 0)


def test_datums() -> None:
    datum = caffe_pb2.Datum(channels=2, height=1, width=3, float_data=[0.5] * 6)
    np.testing.assert_array_equal(datum_array(datum, "layer"), np.full((2, 1, 3), 0.5, np.float32))
    datum.data = bytes(range(6))
    assert datum_array(datum, "layer").dtype == np.uint8
    with pytest.raises(DataError, match=r"5 values, shape \(2, 1, 3\)"):
        datum_array(caffe_pb2.Datum(channels=2, height=1, width=3, data=bytes(5)), "layer")
    with pytest.raises(DataError, match="not a Datum"):
        parse_datum(b"\xff\xff\xff", "layer")


@pytest.mark.parametrize("datum", [
    caffe_pb2.Datum(channels=2, height=1, width=3, data=bytes(range(6)), label=7),
    caffe_pb2.Datum(channels=2, height=1, width=3, float_data=[0.5, 1, 2, 3, 4, 5], label=-1),
    caffe_pb2.Datum(channels=1, height=5, width=5, float_data=range(25)),
    caffe_pb2.Datum(data=b"encoded", encoded=True, label=3),
    caffe_pb2.Datum(data=b""),
    caffe_pb2.Datum(),
])  # fmt: skip
def test_a_datum_without_copying_its_bytes(datum: caffe_pb2.Datum) -> None:
    content = datum.SerializeToString()
    message, data = split_datum(content, "layer")
    assert bytes(data) == datum.data
    message.data = datum.data
    expected = caffe_pb2.Datum(data=datum.data)
    expected.MergeFrom(datum)
    assert message == expected
    # Of two fields the last one counts, wherever they are.
    twice = content + caffe_pb2.Datum(data=b"last").SerializeToString()
    assert bytes(split_datum(twice, "layer")[1]) == b"last"


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"\x22\x09short", b"\x0b\x22\x01x", b"\x00"])
def test_what_is_no_datum_is_told_without_copying_too(content: bytes) -> None:
    with pytest.raises(DataError, match="not a Datum"):
        split_datum(content, "layer")


def test_values_are_read_by_any_thread_and_outlive_the_database(tmp_path: Path) -> None:
    write(tmp_path / "db", caffe_pb2.DataParameter.LMDB)
    database = Database(str(tmp_path / "db"), caffe_pb2.DataParameter.LMDB, "layer")
    expected = [database.item(i, 0) for i in range(database.count())]
    values = [database.value(i) for i in range(database.count())] * 20
    del database

    def read(value: Value) -> bytes:
        return bytes(value.content)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, values)) == expected * 20


@pytest.mark.parametrize(("at", "value"), [(20, 2), (92, 4)], ids=["version 2", "keys with several values"])
def test_layouts_that_are_not_known(tmp_path: Path, at: int, value: int) -> None:
    write(tmp_path / "db", caffe_pb2.DataParameter.LMDB)
    content = bytearray((tmp_path / "db" / "data.mdb").read_bytes())
    content[at] = value
    (tmp_path / "db" / "data.mdb").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot open LMDB database .* no LMDB file of data version 1, written on 64"):
        Database(str(tmp_path / "db"), caffe_pb2.DataParameter.LMDB, "layer")


@both
def test_a_database_that_this_process_holds_open(tmp_path: Path, backend: int) -> None:
    write(tmp_path / "db", backend)
    if backend == caffe_pb2.DataParameter.LEVELDB:
        # What LevelDB does: a file that is locked as long as it is open.
        with (tmp_path / "db" / "LOCK").open("w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            assert Database(str(tmp_path / "db"), backend, "layer").item(3, 0) == b"value 3"
        return
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 20) as environment:
        database = Database(str(tmp_path / "db"), backend, "layer")
        assert database.item(3, 0) == b"value 3"
        with environment.begin(write=True) as transaction:
            transaction.put(b"00000003", b"another")
            assert Database(str(tmp_path / "db"), backend, "layer").item(3, 0) == b"value 3"
        assert Database(str(tmp_path / "db"), backend, "layer").item(3, 0) == b"another"
    # And the other way round: a reader does not keep the script from opening it.
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 20) as environment, environment.begin() as transaction:
        assert transaction.get(b"00000000") == b"value 0"
    assert database.item(4, 0) == b"value 4"
