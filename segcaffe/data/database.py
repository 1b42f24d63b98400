"""Databases of Datum messages: LMDB and LevelDB, read in the order of their keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from segcaffe.data import leveldb
from segcaffe.data.leveldb_log import Logs
from segcaffe.data.lmdb_pages import Tree, read_tree
from segcaffe.data.loader import ListFeed
from segcaffe.errors import DataError
from segcaffe.files.disk import begins
from segcaffe.files.leftovers import bring_back
from segcaffe.files.there import exists
from segcaffe.proto import caffe_pb2

_LMDB = caffe_pb2.DataParameter.LMDB
_SHOWN = 80
_NEAR = 1024
"""Values that are sooner passed over than looked for: as many as processes that share them out."""


class Database:
    """The values of a database, as a `segcaffe.data.loader.Feed`: epoch after epoch in the order of the keys.

    Parameters
    ----------
    source:
        Folder of the database (for LMDB also the file).
    backend:
        ``DataParameter.LMDB`` or ``LEVELDB``.
    where:
        How messages name the layer.

    Raises
    ------
    DataError
        There is no such database, it is of the other kind, damaged or empty, or a package is missing.
    """

    def __init__(self, source: str, backend: int, where: str) -> None:
        self.where, self.path, self.lmdb = where, Path(source), backend == _LMDB
        if not source:
            raise DataError(f"{where}: data_param needs source, the folder of a database.")
        bring_back(self.path)
        if not exists(self.path):
            raise DataError(f'{where}: there is no database "{source}".{begins(source)}')
        self._check_kind()
        if self.lmdb:
            self._tree()
        self._logs = Logs()
        self._values: Iterator[Value] = iter(())
        self._next = -1
        self._count = -1

    def item(self, number: int, seed: int) -> bytes:
        """The bytes of value number ``number % count``; quick for the number after the last one asked for."""
        return bytes(self.value(number).content)

    def value(self, number: int) -> Value:
        """As `item`, not read yet; quick for a number not far behind the last one, too."""
        passed = number - self._next if self._next >= 0 else -1
        if not 0 <= passed <= _NEAR:
            self._values, passed = self._iterate(number % self.count() if number else 0), 0
        for _ in range(passed):
            self._following()
        self._next = number + 1
        return self._following()

    def _following(self) -> Value:
        """The value behind the last one, the first behind the end."""
        value = next(self._values, None)
        if value is None:
            self._values = self._iterate(0)
            value = next(self._values, None)
        if value is None:
            raise DataError(f'{self.where}: the database "{self.path}" is empty.')
        return value

    def all(self) -> list[Value]:
        """All values, in the order of the keys, not read yet; DataError if there are none."""
        values = list(self._iterate(0))
        if not values:
            raise DataError(f'{self.where}: the database "{self.path}" is empty.')
        return values

    def count(self) -> int:
        """Number of values. Of a LevelDB database this reads all of it, once."""
        if self._count < 0:
            self._count = self._counted()
        if self._count == 0:
            raise DataError(f'{self.where}: the database "{self.path}" is empty.')
        return self._count

    def _counted(self) -> int:
        return self._tree().count if self.lmdb else sum(1 for _ in self._iterate(0))

    def _tree(self) -> Tree:
        try:
            return read_tree(self.path)
        except OSError as error:
            raise DataError(
                f'{self.where}: cannot open LMDB database "{self.path}": {error.strerror}: "{error.filename}".'
            ) from error
        except ValueError as error:
            raise DataError(f'{self.where}: cannot open LMDB database "{self.path}": {error}.') from error

    def _iterate(self, skip: int) -> Iterator[Value]:
        return self._iterate_lmdb(skip) if self.lmdb else self._iterate_leveldb(skip)

    def _iterate_leveldb(self, skip: int) -> Iterator[Value]:
        try:
            for key, value in islice(leveldb.entries(self.path, self._logs), skip, None):
                yield Value(key, value)
        except OSError as error:
            raise DataError(f'{self.where}: cannot read "{error.filename}": {error.strerror}.') from error
        except ValueError as error:
            raise DataError(f"{self.where}: the LevelDB database is damaged: {error}.") from error

    def _iterate_lmdb(self, skip: int) -> Iterator[Value]:
        tree = self._tree()
        try:
            for leaf in tree.leaves(skip):
                for key, value in leaf:
                    yield Value(key, value)
        except ValueError as error:
            raise DataError(
                f'{self.where}: the LMDB database "{self.path}" is damaged: {error}. Make or copy it again.'
            ) from error

    def _check_kind(self) -> None:
        other, name = ("CURRENT", "LEVELDB") if self.lmdb else ("data.mdb", "LMDB")
        if exists(self.path / other):
            raise DataError(f'{self.where}: "{self.path}" is a database of the other kind; write backend: {name}.')
        if not self.lmdb and not exists(self.path / "CURRENT"):
            raise DataError(f'{self.where}: "{self.path}" is not a LevelDB database: it has no file CURRENT.')


class Values:
    """A database's values as a `segcaffe.data.loader.Feed` that copies none: whoever loads an item opens it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def item(self, number: int, seed: int) -> Value:
        """Value number ``number % count``."""
        return self.database.value(number)


class ShuffledValues:
    """As `Values`, each epoch in an order of its own; DataError for LevelDB, whose values have no places to go to."""

    def __init__(self, database: Database) -> None:
        if not database.lmdb:
            raise DataError(
                f'{database.where}: data_param {{ shuffle: true }} needs an LMDB database; "{database.path}" is a '
                "LevelDB database. Convert it, or shuffle when it is made."
            )
        self.database = database
        self._feed: ListFeed[Value] | None = None

    def item(self, number: int, seed: int) -> Value:
        """Value ``number % count`` of the epoch's order."""
        if self._feed is None:
            # Keys, and where values lie; those stay in the file.
            self._feed = ListFeed(self.database.all(), shuffle=True)
        return self._feed.item(number, seed)


@dataclass(frozen=True)
class Value:
    """A database's value.

    Attributes
    ----------
    key:
        Its key.
    content:
        The bytes; those of LMDB lie in the database itself.
    """

    key: bytes
    content: bytes | memoryview

    @property
    def place(self) -> str:
        """``key "00000001_cat.jpg"``, for messages."""
        text = "".join(
            c if c.isprintable() else f"\\x{ord(c):02x}" for c in self.key.decode("utf-8", "backslashreplace")
        )
        return f'key "{text if len(text) <= _SHOWN else text[:_SHOWN] + "..."}"'
