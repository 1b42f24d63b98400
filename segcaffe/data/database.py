"""Databases of Datum messages: LMDB and LevelDB, read in the order of their keys."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from segcaffe.data import leveldb
from segcaffe.data.leveldb_log import Logs
from segcaffe.data.lmdb_pages import Tree, read_tree
from segcaffe.errors import DataError
from segcaffe.files import begins
from segcaffe.proto import caffe_pb2

_LMDB = caffe_pb2.DataParameter.LMDB
_SHOWN = 80


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
        if not self.path.exists():
            raise DataError(f'{where}: there is no database "{source}".{begins(source)}')
        self._check_kind()
        # The library is for what is not known here: of one process it lets only one opener in.
        known = not self.lmdb or self._tree() is not None
        self._environment = None if known else _environment(self.path, where)
        self._logs = Logs()
        self._values: Iterator[Value] = iter(())
        self._next = -1
        self._count = -1

    def item(self, number: int, seed: int) -> bytes:
        """The bytes of value number ``number % count``; quick for the number after the last one asked for."""
        with self.value(number).open() as content:
            return bytes(content)

    def value(self, number: int) -> Value:
        """As `item`, not read yet."""
        if number != self._next:
            self._values = self._iterate(number % self.count() if number else 0)
        value = next(self._values, None)
        if value is None:
            self._values = self._iterate(0)
            value = next(self._values, None)
        if value is None:
            raise DataError(f'{self.where}: the database "{self.path}" is empty.')
        self._next = number + 1
        return value

    def count(self) -> int:
        """Number of values. Of a LevelDB database this reads all of it, once."""
        if self._count < 0:
            self._count = self._counted()
        if self._count == 0:
            raise DataError(f'{self.where}: the database "{self.path}" is empty.')
        return self._count

    def _counted(self) -> int:
        if self._environment is not None:
            return int(self._environment.handle.stat()["entries"])
        tree = self._tree() if self.lmdb else None
        return tree.count if tree is not None else sum(1 for _ in self._iterate(0))

    def _tree(self) -> Tree | None:
        try:
            return read_tree(self.path)
        except OSError as error:
            raise DataError(
                f'{self.where}: cannot open LMDB database "{self.path}": {error.strerror}: "{error.filename}".'
            ) from error

    def _iterate(self, skip: int) -> Iterator[Value]:
        if not self.lmdb:
            return self._iterate_leveldb(skip)
        return self._iterate_lmdb(skip) if self._environment is None else self._iterate_library(skip)

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
            for leaf in tree.leaves() if tree else ():
                for key, value in leaf[skip:]:
                    yield Value(key, value)
                skip = max(0, skip - len(leaf))
        except OSError as error:
            raise DataError(f'{self.where}: cannot read LMDB database "{self.path}": {error.strerror}.') from error
        except ValueError as error:
            raise DataError(
                f'{self.where}: the LMDB database "{self.path}" is damaged: {error}. Make or copy it again.'
            ) from error

    def _iterate_library(self, skip: int) -> Iterator[Value]:
        import lmdb

        assert self._environment is not None
        failure = f'{self.where}: cannot read LMDB database "{self.path}"'
        try:
            with self._environment.handle.begin() as transaction, transaction.cursor() as cursor:
                for key in islice(cursor.iternext(keys=True, values=False), skip, None):
                    yield Value(bytes(key), b"", self._environment, failure)
        except lmdb.Error as error:
            raise DataError(f"{failure}: {error}.") from error

    def _check_kind(self) -> None:
        other, name = ("CURRENT", "LEVELDB") if self.lmdb else ("data.mdb", "LMDB")
        if (self.path / other).exists():
            raise DataError(f'{self.where}: "{self.path}" is a database of the other kind; write backend: {name}.')
        if not self.lmdb and not (self.path / "CURRENT").exists():
            raise DataError(f'{self.where}: "{self.path}" is not a LevelDB database: it has no file CURRENT.')


class Values:
    """A database's values as a `segcaffe.data.loader.Feed` that copies none: whoever loads an item opens it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def item(self, number: int, seed: int) -> Value:
        """Value number ``number % count``."""
        return self.database.value(number)


@dataclass(frozen=True)
class Value:
    """A database's value: its bytes, or where they are found.

    Attributes
    ----------
    key:
        Its key.
    content:
        The bytes; those of LMDB lie in the database itself.
    environment:
        The LMDB database that the library has open, where it has to be asked for the bytes.
    failure:
        First half of the sentence if it cannot be read.
    """

    key: bytes
    content: bytes | memoryview
    environment: _Environment | None = None
    failure: str = ""

    @property
    def place(self) -> str:
        """``key "00000001_cat.jpg"``, for messages."""
        text = "".join(
            c if c.isprintable() else f"\\x{ord(c):02x}" for c in self.key.decode("utf-8", "backslashreplace")
        )
        return f'key "{text if len(text) <= _SHOWN else text[:_SHOWN] + "..."}"'

    @contextmanager
    def open(self) -> Iterator[memoryview]:
        """The bytes, for reading while the context lasts."""
        if self.environment is None:
            yield memoryview(self.content)
            return
        import lmdb

        try:
            transaction = self.environment.handle.begin(buffers=True)
            found = transaction.get(self.key)
        except lmdb.Error as error:
            raise DataError(f"{self.failure}: {error}.") from error
        with transaction:
            if found is None:
                raise DataError(f"{self.failure}: there is no value with the {self.place} any more.")
            yield found


class _Environment:
    """An open LMDB database."""

    def __init__(self, path: Path, where: str) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise DataError(f"{where}: needs the package lmdb. Install it: pip install lmdb.") from error
        try:
            # No lock: nothing is written, and the folder may be read-only.
            self.handle: Any = lmdb.open(os.fsencode(path), readonly=True, lock=False, subdir=path.is_dir())
        except lmdb.Error as error:
            raise DataError(f'{where}: cannot open LMDB database "{path}": {error}.') from error


_environments: weakref.WeakValueDictionary[tuple[int, int], _Environment] = weakref.WeakValueDictionary()


def _environment(path: Path, where: str) -> _Environment:
    """The environment of a database; layers share it, since a process may open it only once."""
    file = path / "data.mdb" if path.is_dir() else path
    try:
        # By the file, not its name: a database may be replaced by a new one.
        status = file.stat()
    except OSError as error:
        raise DataError(f'{where}: cannot open LMDB database "{path}": {error.strerror}: "{file}".') from error
    key = status.st_dev, status.st_ino
    environment = _environments.get(key)
    if environment is None:
        environment = _environments[key] = _Environment(path, where)
    return environment
