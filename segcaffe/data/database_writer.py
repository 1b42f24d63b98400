"""Writing databases of Datum messages in Caffe's format: LMDB, through the package lmdb, or LevelDB."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.files import replacing
from segcaffe.data.leveldb_writer import LevelDbWriter
from segcaffe.errors import DataError
from segcaffe.files.disk import why_unwritable
from segcaffe.files.leftovers import bring_back
from segcaffe.files.lock import lock
from segcaffe.files.there import exists, is_file
from segcaffe.proto import caffe_pb2

_FIRST_MAP = 1 << 26
_BATCH = 1000
"""Items a transaction holds."""
_BATCH_BYTES = 1 << 25
_NOTHING = 1 << 16
"""Bytes on a disk that are not worth a name."""


class Writer(Protocol):
    """A database that is being written."""

    def put(self, key: str, value: bytes) -> None:
        """Add an item; readers get the items in the order of their keys."""


@contextmanager
def create_database(path: Path, backend: str, where: str, overwrite: bool = False) -> Iterator[Writer]:
    """Write a database; it appears under its name at the end, so that a killed run leaves an older one as it was.

    Parameters
    ----------
    path:
        The folder to be made.
    backend:
        "lmdb" or "leveldb".
    overwrite:
        Whether it may take the place of a database of that name.

    Raises
    ------
    DataError
        There is something of that name, a package is missing, or the disk cannot take it.
    LockedError
        Another process is writing a database of that name.
    """
    with lock(path, where, "choose another name for the database"):
        bring_back(path)
        if exists(path) and not (overwrite and is_database(path)):
            advice = "use --overwrite to replace it" if is_database(path) else "it is no database; choose another name"
            raise DataError(f'{where}: "{path}" exists already; {advice}.')
        write = lmdb_writer if backend == "lmdb" else _leveldb
        with replacing(path, where, folder=True) as part, write(part, path, where) as writer:
            yield writer


def is_database(path: Path) -> bool:
    """Whether a path is the folder of an LMDB or LevelDB database, or an LMDB file."""
    bring_back(path)
    return exists(path / "data.mdb") or exists(path / "CURRENT") or (is_file(path) and path.suffix == ".mdb")


def backend_of(path: Path) -> int:
    """The ``DataParameter.DB`` value of a database that exists."""
    bring_back(path)
    return caffe_pb2.DataParameter.LEVELDB if exists(path / "CURRENT") else caffe_pb2.DataParameter.LMDB


def raw_datum(values: NDArray[np.uint8], label: int) -> bytes:
    """The message of an array (C, H, W) and its label."""
    channels, height, width = values.shape
    return caffe_pb2.Datum(
        channels=channels, height=height, width=width, data=values.tobytes(), label=label
    ).SerializeToString()


@contextmanager
def lmdb_writer(folder: Path, path: Path, where: str) -> Iterator[Writer]:
    """Write an LMDB database into an empty folder that is going to be called ``path``. Raises DataError."""
    lmdb = _lmdb_module(where)
    try:
        environment = lmdb.open(os.fsencode(folder), map_size=_FIRST_MAP, meminit=False, sync=False)
        try:
            writer = _LmdbWriter(environment, lmdb)
            yield writer
            writer.flush()
            environment.sync(True)
        finally:
            environment.close()
    except lmdb.Error as error:
        raise DataError(
            f'{where}: cannot write the database "{path}": {_why(error, folder)}. What was there before is unharmed.'
        ) from error


def _why(error: Exception, folder: Path) -> str:
    """As `why_unwritable`; LMDB tells of a write that the disk took only in part as of any other mishap."""
    if shutil.disk_usage(folder).free >= _NOTHING:
        return why_unwritable(error)
    return f"the disk is full ({error})"


class _LmdbWriter:
    """Collects items into transactions; the map doubles when it is full."""

    def __init__(self, environment: Any, package: ModuleType) -> None:
        self.environment, self.full = environment, package.MapFullError
        self.pending: list[tuple[bytes, bytes]] = []
        self.bytes = 0
        self.map_size = _FIRST_MAP

    def put(self, key: str, value: bytes) -> None:
        """Add an item."""
        self.pending.append((key.encode("utf-8", "surrogateescape"), value))
        self.bytes += len(value)
        if len(self.pending) >= _BATCH or self.bytes >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        while self.pending:
            try:
                with self.environment.begin(write=True) as transaction:
                    for key, value in self.pending:
                        transaction.put(key, value)
                self.pending.clear()
            except self.full:
                self.map_size *= 2
                self.environment.set_mapsize(self.map_size)
        self.bytes = 0


@contextmanager
def _leveldb(folder: Path, path: Path, where: str) -> Iterator[Writer]:
    writer = LevelDbWriter(folder)
    yield writer
    writer.finish()


def _lmdb_module(where: str) -> ModuleType:
    try:
        import lmdb
    except ImportError as error:
        raise DataError(
            f"{where}: LMDB needs the package lmdb. Install it: pip install lmdb. LevelDB needs none."
        ) from error
    module: ModuleType = lmdb
    return module
