"""Damaged databases: ``python -m tests.fuzz.databases --lmdb 400 --leveldb 600``.

LMDB files are damaged where their structure is (pages' heads, places of items, children, values' own pages, what the
file says of itself), so that some lead in circles, deep down or out of the file; of LevelDB's files single bits are
flipped, each of which is found or changes nothing.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from segcaffe.data.database import Database
from segcaffe.data.database_writer import create_database
from segcaffe.proto.caffe_pb2 import DataParameter
from tests.data.leveldb_files import Entry, write_database
from tests.fuzz.run import Outcome, add, limit_memory, measured, results

PAGE = 4096
_SMALL, _LARGE = (1500, 90), (40, 9000)
"""Number and size of a database's values: many that fill branches and leaves, and some in pages of their own."""
_NUMBERS = (0, 1, 2, 3, 16, 255, PAGE, PAGE + 1, 0xFFFF, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1)
_BRANCH, _LEAF, _OVERFLOW = 1, 2, 4

Items = list[tuple[bytes, bytes]]


def contents(count: int, size: int) -> Items:
    """Keys and values of a database."""
    rng = random.Random(count)
    return [(b"%08d_x" % i, rng.randbytes(size)) for i in range(count)]


def read_all(folder: Path, backend: int) -> Items:
    """Keys and values of one epoch, as a data layer reads them."""
    database = Database(str(folder), backend, "fuzz")
    return [(value.key, bytes(value.content)) for value in map(database.value, range(database.count()))]


# LMDB.


def write_lmdb(folder: Path, count: int, size: int) -> bytes:
    """Write a database; return its file's bytes."""
    with create_database(folder, "lmdb", "fuzz") as writer:
        for key, value in contents(count, size):
            writer.put(key.decode(), value)
    return (folder / "data.mdb").read_bytes()


def _put(content: bytearray, at: int, size: int, value: int) -> None:
    content[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")


def _pages(content: bytearray, *kinds: int) -> list[int]:
    """First bytes of the pages of these kinds."""
    return [at for at in range(2 * PAGE, len(content) - PAGE + 1, PAGE)
            if struct.unpack_from("<H", content, at + 10)[0] in kinds]  # fmt: skip


def _number(rng: random.Random, content: bytearray) -> int:
    return rng.choice((*_NUMBERS, rng.randrange(max(1, len(content) // PAGE)), rng.randrange(1 << 16)))


def _node(rng: random.Random, content: bytearray, page: int) -> int:
    """First byte of an item or child of a page."""
    lower = struct.unpack_from("<H", content, page + 12)[0]
    slots = max(1, (min(lower, PAGE) - 16) // 2)
    offset: int = struct.unpack_from("<H", content, page + 16 + 2 * rng.randrange(slots))[0]
    return page + min(offset, PAGE - 24)


def change_head(rng: random.Random, content: bytearray) -> None:
    """Number, kind, or bounds of a page."""
    page = rng.choice(_pages(content, _BRANCH, _LEAF, _OVERFLOW) or [0])
    at, size = rng.choice(((0, 8), (8, 2), (10, 2), (12, 2), (14, 2), (12, 4)))
    _put(content, page + at, size, _number(rng, content))


def change_place(rng: random.Random, content: bytearray) -> None:
    """Where an item or a child stands in its page."""
    page = rng.choice(_pages(content, _BRANCH, _LEAF) or [0])
    _put(content, page + 16 + 2 * rng.randrange(20), 2, rng.choice((_number(rng, content), 16, PAGE - 8)))


def change_node(rng: random.Random, content: bytearray) -> None:
    """Size, kind or length of the key of an item."""
    at = _node(rng, content, rng.choice(_pages(content, _BRANCH, _LEAF) or [0]))
    offset = rng.choice((0, 2, 4, 6))
    _put(content, at + offset, 2, rng.choice((_number(rng, content), 1, 2, 4)))


def change_child(rng: random.Random, content: bytearray) -> None:
    """Lead a branch to itself, to another branch, to a leaf twice, or anywhere."""
    pages = _pages(content, _BRANCH)
    if not pages:
        return change_head(rng, content)
    page = rng.choice(pages)
    other = rng.choice((page, rng.choice(pages), rng.choice(_pages(content, _LEAF)))) // PAGE
    _put(content, _node(rng, content, page), 4, rng.choice((other, other, _number(rng, content))))
    return None


def change_value(rng: random.Random, content: bytearray) -> None:
    """Lead an item to the pages of another's value, or anywhere."""
    pages = _pages(content, _OVERFLOW)
    at = _node(rng, content, rng.choice(_pages(content, _LEAF) or [0]))
    key = struct.unpack_from("<H", content, at + 6)[0]
    place = min(at + 8 + key, len(content) - 8)
    _put(content, place, 8, rng.choice(pages) // PAGE if pages and rng.random() < 0.6 else _number(rng, content))


def change_meta(rng: random.Random, content: bytearray) -> None:
    """What the file says of itself: kind, size of a page, flags, depth, numbers of pages and items, root, last page."""
    fields = ((0, 4), (4, 4), (24, 4), (76, 2), (78, 2), (80, 8), (96, 8), (104, 8), (112, 8), (120, 8), (128, 8))
    at, size = rng.choice(fields)
    value = _number(rng, content)
    for meta in (0, PAGE) if rng.random() < 0.7 else (0,):
        _put(content, meta + 16 + at, size, value)


def copy_page(rng: random.Random, content: bytearray) -> None:
    """One page in the place of another, with or without its number."""
    source, target = (PAGE * rng.randrange(len(content) // PAGE) for _ in range(2))
    keep = rng.choice((0, 8))
    content[target + keep : target + PAGE] = content[source + keep : source + PAGE]


def truncate(rng: random.Random, content: bytearray) -> None:
    """Cut the file off, at a page's end or anywhere."""
    at = rng.randrange(len(content) + 1)
    del content[at // PAGE * PAGE if rng.random() < 0.5 else at :]


def change_bytes(rng: random.Random, content: bytearray) -> None:
    """Bytes by chance."""
    for _ in range(rng.choice((1, 4, 64))):
        content[rng.randrange(len(content))] = rng.randrange(256)


DAMAGES: tuple[Callable[[random.Random, bytearray], None], ...] = (
    change_head, change_head, change_place, change_node, change_node, change_child, change_child, change_value,
    change_value, change_meta, change_meta, copy_page, truncate, change_bytes,
)  # fmt: skip


def damaged(whole: bytes, number: int) -> bytes:
    """The damaged file with this number."""
    rng = random.Random(number)
    content = bytearray(whole)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if len(content) > 2 * PAGE:
            rng.choice(DAMAGES)(rng, content)
    return bytes(content)


def work_lmdb(first: int, last: int, outcomes: Connection) -> None:
    """Read the damaged files with these numbers."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = [write_lmdb(Path(folder) / str(size), count, size) for count, size in (_SMALL, _LARGE)]
        file = Path(folder) / "damaged.mdb"
        limit_memory()
        for number in range(first, last):
            file.write_bytes(damaged(seeds[number % 2], number))
            outcomes.send(measured(number, partial(read_all, file, DataParameter.LMDB)))


# LevelDB.


def write_leveldb(folder: Path) -> Items:
    """A database of tables in two levels, one of them compressed, and a log with records longer than its blocks."""
    entries: list[Entry] = [(key, i + 1, value) for i, (key, value) in enumerate(contents(40, 300))]
    logged: list[Entry] = [(b"1%07d" % i, 100 + i, random.Random(i).randbytes(20_000)) for i in range(4)]
    write_database(folder, [(0, entries[::2]), (1, entries[1::2])], [logged[:2], logged[2:]], compressed=True)
    return read_all(folder, DataParameter.LEVELDB)


def flip(folder: Path, number: int) -> tuple[Path, bytes]:
    """Flip one bit of one of the files; return the file and what it was before."""
    rng = random.Random(number)
    files = sorted(path for path in folder.iterdir() if path.name != "000002.log")
    file = rng.choice(files)
    before = file.read_bytes()
    content = bytearray(before)
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    return file, before


def _compared(folder: Path, expected: Items) -> str | None:
    return (
        None
        if read_all(folder, DataParameter.LEVELDB) == expected
        else "read without an error, but not what was written"
    )


def work_leveldb(first: int, last: int, outcomes: Connection) -> None:
    """Read the database once for each number, with one bit flipped."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "db"
        expected = write_leveldb(folder)
        limit_memory()
        for number in range(first, last):
            file, before = flip(folder, number)
            outcomes.send(measured(number, partial(_compared, folder, expected)))
            file.write_bytes(before)


WORK = {"lmdb": work_lmdb, "leveldb": work_leveldb}


def run(kind: str, count: int, first: int = 0) -> Outcome:
    """Read ``count`` damaged databases of a kind."""
    outcome = Outcome()
    for result in results(WORK[kind], first, first + count):
        add(outcome, kind, result)
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lmdb", type=int, default=400, help="how many damaged LMDB files")
    parser.add_argument("--leveldb", type=int, default=600, help="how many bits of LevelDB databases")
    parser.add_argument("--first", type=int, default=0, help="number of the first of each kind")
    options = parser.parse_args()
    failures = 0
    for kind in WORK:
        start = time.perf_counter()
        outcome = run(kind, getattr(options, kind), options.first)
        failures += len(outcome.failures)
        for failure in outcome.failures:
            print(f"{kind} {failure.number}: {failure.what}")
        print(
            f"{kind}: {outcome.loaded} loaded, {outcome.refused} refused, {len(outcome.failures)} failed; at most "
            f"{outcome.seconds:.2f} s and {outcome.megabytes:.0f} MB; {time.perf_counter() - start:.0f} s in all"
        )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
