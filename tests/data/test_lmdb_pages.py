"""Damaged LMDB files: an error, never the end of the process."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pytest

from segcaffe.data.database import Database
from segcaffe.data.database_writer import create_database
from segcaffe.data.lmdb_pages import read_tree
from segcaffe.errors import DataError
from segcaffe.proto import caffe_pb2

LMDB = caffe_pb2.DataParameter.LMDB
READ_ALL = """
import sys
from segcaffe.data.database import Database
from segcaffe.errors import DataError
try:
    database = Database(sys.argv[1], 1, "reader")
    for i in range(database.count()):
        database.item(i, 0)
except DataError as error:
    print(error)
"""


def write(path: Path, count: int, size: int) -> None:
    rng = np.random.default_rng(0)
    with create_database(path, "lmdb", "test") as writer:
        for i in range(count):
            writer.put(f"{i:08d}", rng.bytes(size))


@pytest.mark.parametrize(("count", "size"), [(0, 1), (1, 10), (5000, 100), (300, 5000), (7, 100_000)])
def test_every_key_is_in_a_leaf(count: int, size: int, tmp_path: Path) -> None:
    write(tmp_path / "db", count, size)
    tree = read_tree(tmp_path / "db")
    assert tree is not None
    assert sum(map(len, tree.leaves())) == tree.count == count
    with lmdb.open(str(tmp_path / "db"), readonly=True) as environment, environment.begin() as transaction:
        items = [(key, bytes(value)) for leaf in tree.leaves() for key, value in leaf]
        assert items == list(transaction.cursor())


def test_reading_from_the_middle_and_over_the_end(tmp_path: Path) -> None:
    write(tmp_path / "db", 500, 300)
    database = Database(str(tmp_path / "db"), LMDB, "test")
    values = [database.item(i, 0) for i in range(500)]
    assert len(set(values)) == 500
    assert database.item(321, 0) == values[321]
    assert [database.item(i, 0) for i in range(498, 503)] == [values[498], values[499], *values[:3]]


def zeros_behind(content: bytearray) -> None:
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)


def cut_off(content: bytearray) -> None:
    del content[len(content) // 2 :]


def cut_after_meta(content: bytearray) -> None:
    del content[9000:]


def emptied(content: bytearray) -> None:
    content.clear()


def no_database(content: bytearray) -> None:
    content[:] = b"hello world" * 2000


@pytest.mark.parametrize("damage", [zeros_behind, cut_off, cut_after_meta, emptied, no_database])
@pytest.mark.parametrize("size", [300, 20_000])
def test_damage_is_an_error(damage: Callable[[bytearray], None], size: int, tmp_path: Path) -> None:
    write(tmp_path / "db", 400, size)
    file = tmp_path / "db" / "data.mdb"
    content = bytearray(file.read_bytes())
    damage(content)
    file.write_bytes(content)
    # In a process of its own: what is tested is that it lives on.
    done = subprocess.run([sys.executable, "-c", READ_ALL, str(tmp_path / "db")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if damage is zeros_behind and size > 4096:
        # Only values were hit; their content is not the database's affair.
        assert done.stdout == "" or "damaged" in done.stdout
    else:
        assert "reader: " in done.stdout


def test_random_pages(tmp_path: Path) -> None:
    """Pages of noise, each in turn, are found or do no harm to the others."""
    write(tmp_path / "db", 300, 700)
    file = tmp_path / "db" / "data.mdb"
    good = file.read_bytes()
    rng = random.Random(0)
    found = 0
    for page in rng.sample(range(2, len(good) // 4096), 30):
        noisy = bytearray(good)
        noisy[4096 * page : 4096 * page + 4096] = rng.randbytes(4096)
        file.write_bytes(noisy)
        tree = read_tree(file)
        assert tree is not None
        try:
            assert sum(map(len, tree.leaves())) == 300
        except ValueError:
            found += 1
    assert found > 20


def test_the_layer_says_so(tmp_path: Path) -> None:
    write(tmp_path / "db", 400, 300)
    file = tmp_path / "db" / "data.mdb"
    file.write_bytes(file.read_bytes()[:-60_000])
    database = Database(str(tmp_path / "db"), LMDB, 'layer "data" (Data)')
    with pytest.raises(DataError, match=r'layer "data" \(Data\): the LMDB database .* is damaged: the file is cut off'):
        [database.item(i, 0) for i in range(400)]


BRANCH, LEAF, OVERFLOW = 1, 2, 4


def pages_of(content: bytearray, kind: int) -> list[int]:
    """First bytes of the pages of a kind."""
    return [at for at in range(8192, len(content), 4096) if content[at + 10 : at + 12] == bytes((kind, 0))]


def node(content: bytearray, page: int, number: int = 0) -> int:
    """First byte of an item or child of a page."""
    return page + int.from_bytes(content[page + 16 + 2 * number :][:2], "little")


def to_itself(content: bytearray) -> None:
    branch = pages_of(content, BRANCH)[0]
    at = node(content, branch)
    content[at : at + 4] = (branch // 4096).to_bytes(4, "little")


def a_leaf_twice(content: bytearray) -> None:
    branch = pages_of(content, BRANCH)[0]
    first, second = node(content, branch), node(content, branch, 1)
    content[second : second + 4] = content[first : first + 4]


def a_value_twice(content: bytearray) -> None:
    leaf = pages_of(content, LEAF)[0]
    first, second = (node(content, leaf, i) + 8 + 8 for i in (0, 1))
    content[second : second + 8] = content[first : first + 8]


def fewer_pages_than_the_value(content: bytearray) -> None:
    at = pages_of(content, OVERFLOW)[0] + 12
    content[at : at + 4] = (1).to_bytes(4, "little")


def pages_without_end(content: bytearray) -> None:
    at = pages_of(content, OVERFLOW)[0] + 12
    content[at : at + 4] = b"\xff\xff\xff\x7f"


def a_value_in_a_leaf(content: bytearray) -> None:
    at = pages_of(content, OVERFLOW)[0] + 10
    content[at] = LEAF


def meta(content: bytearray, offset: int, value: int, size: int = 8) -> None:
    for start in (16, 4096 + 16):
        content[start + offset : start + offset + size] = value.to_bytes(size, "little")


def deeper(content: bytearray) -> None:
    meta(content, 78, 4, 2)


def deepest(content: bytearray) -> None:
    meta(content, 78, 60000, 2)


def more_items(content: bytearray) -> None:
    meta(content, 104, 401)


def items_without_end(content: bytearray) -> None:
    meta(content, 104, 1 << 62)


def last_page_too_early(content: bytearray) -> None:
    meta(content, 120, 9)


def keys_that_fall(content: bytearray) -> None:
    leaf = pages_of(content, LEAF)[0] + 16
    content[leaf : leaf + 4] = content[leaf + 2 : leaf + 4] + content[leaf : leaf + 2]


def another_kind_of_item(content: bytearray) -> None:
    content[node(content, pages_of(content, LEAF)[0]) + 4] = 2


def read_items(file: Path, count: int) -> list[bytes]:
    database = Database(str(file), LMDB, "reader")
    return [database.item(i, 0) for i in range(count)]


SMALL, LARGE = 300, 20_000


@pytest.mark.parametrize(
    ("damage", "size", "message"),
    [
        (to_itself, SMALL, "belongs to two places"),
        (a_leaf_twice, SMALL, "belongs to two places"),
        (a_value_twice, LARGE, "belongs to two places"),
        (fewer_pages_than_the_value, LARGE, "does not begin the value of 20000 bytes"),
        (pages_without_end, LARGE, "the file is cut off"),
        (a_value_in_a_leaf, LARGE, "does not begin the value of 20000 bytes"),
        (deeper, SMALL, "is not the branch or the leaf"),
        (deepest, SMALL, "cannot have 400 items in 60000 levels"),
        (more_items, SMALL, "says that it has 401 items, and has 400"),
        (items_without_end, SMALL, "cannot have 4611686018427387904 items"),
        (last_page_too_early, SMALL, "behind the last page in use"),
        (keys_that_fall, SMALL, "do not rise"),
        (another_kind_of_item, SMALL, "is of another kind"),
    ],
)
def test_what_the_file_says_of_itself_is_not_believed(
    damage: Callable[[bytearray], None], size: int, message: str, tmp_path: Path
) -> None:
    write(tmp_path / "db", 400, size)
    file = tmp_path / "db" / "data.mdb"
    content = bytearray(file.read_bytes())
    damage(content)
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_items(file, 401)


def test_values_that_are_skipped_are_not_looked_at(tmp_path: Path) -> None:
    """To go on in the middle of a large database takes no time for what lies before."""
    write(tmp_path / "db", 400, LARGE)
    file = tmp_path / "db" / "data.mdb"
    content = bytearray(file.read_bytes())
    a_value_in_a_leaf(content)
    file.write_bytes(content)
    [first, *_] = next(read_tree(file).leaves(300))
    assert first[0] == b"00000300"


@pytest.mark.parametrize("seed", range(6))
def test_what_the_library_leaves_after_many_changes_is_read(seed: int, tmp_path: Path) -> None:
    """Pages that were freed, values that shrank in their pages, transactions that were given up."""
    rng = random.Random(seed)
    keys = [b"%08d" % i if seed % 2 else rng.randbytes(rng.randrange(1, 200)) for i in range(400)]
    with lmdb.open(str(tmp_path), map_size=1 << 27, sync=False, writemap=seed % 3 == 0) as environment:
        for _ in range(6):
            with environment.begin(write=True) as transaction:
                for key in rng.choices(keys, k=300):
                    if rng.random() < 0.3:
                        transaction.delete(key)
                    else:
                        transaction.put(key, rng.randbytes(rng.choice((0, 1, 500, 2000, 2100, 9000, 40000))))
            given_up = environment.begin(write=True)
            given_up.put(b"x", bytes(5000))
            given_up.abort()
        with environment.begin() as transaction:
            expected = list(transaction.cursor())
        environment.sync(True)
        items = [(key, bytes(value)) for leaf in read_tree(tmp_path).leaves() for key, value in leaf]
        assert items == expected
        half = len(expected) // 2
        items = [(key, bytes(value)) for leaf in read_tree(tmp_path).leaves(half) for key, value in leaf]
        assert items == expected[half:]
