"""Blobs of a net, batch after batch, into a file: what Caffe's extract_features does."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.database_writer import Writer, is_database, lmdb_writer
from segcaffe.data.files import replacing
from segcaffe.data.hdf5 import h5py_module
from segcaffe.errors import DataError, GraphError
from segcaffe.files.hdf5_writer import writing
from segcaffe.files.leftovers import bring_back
from segcaffe.files.lock import lock
from segcaffe.files.there import exists, is_dir
from segcaffe.net.net import Net
from segcaffe.parallel import group
from segcaffe.proto import caffe_pb2
from segcaffe.proto.encoding import to_native
from segcaffe.trust.paths import as_file_name, leads_out

Array = NDArray[Any]

FORMATS = (".npz", ".h5", ".hdf5")
FOLDERS = ("", ".lmdb", ".db")


def extract(
    net: Net,
    blobs: Sequence[str],
    out: Path,
    iterations: int,
    overwrite: bool = False,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, tuple[int, ...]]:
    """Run ``iterations`` batches and write blobs, their batches joined along axis 0.

    Processes that work together run the batches in turn, and the first of them writes.

    Parameters
    ----------
    out:
        ``.npz`` or ``.h5``: one array for each blob under its name. A name without suffix (or with .lmdb or .db) is a
        folder for LMDB databases, one for each blob: keys of 10 digits, Datum messages with floats, as Caffe writes
        them. Suffixes may be in any case.

    Returns
    -------
    dict
        Shape of what was written, by blob.
    """
    suffix = checked_suffix(out)
    for name in blobs:
        if name not in net.blobs:
            raise GraphError(f'the net has no blob "{name}". Its blobs: {", ".join(net.blobs)}.')
        if suffix == ".npz" and leads_out(name):
            raise DataError(f'the blob "{name}" would lead out of the archive; rename it, or write .h5.')
    kind: type[_Sink] = _Databases
    if suffix in FORMATS:
        kind = _Npz if suffix == ".npz" else _Hdf5
    if not group().is_first:
        for _ in _batches(net, blobs, iterations):
            progress()
        return {}
    shapes: dict[str, tuple[int, ...]] = {}
    with _alone(out, overwrite, folder=kind is _Databases) as part, ExitStack() as stack:
        sink = kind(part, out, stack, blobs)
        for batch in _batches(net, blobs, iterations):
            for name, values in batch.items():
                count = shapes.get(name, (0,))[0]
                if name in shapes and values.shape[1:] != shapes[name][1:]:
                    raise DataError(
                        f'all batches of "{name}" must have one shape but for the batch size. '
                        f"Received: {values.shape[1:]} after {shapes[name][1:]}."
                    )
                sink.add(name, values, count)
                shapes[name] = (count + len(values), *values.shape[1:])
            progress()
        sink.finish()
    return shapes


def _batches(net: Net, blobs: Sequence[str], iterations: int) -> Iterator[dict[str, Array]]:
    """The blobs after each batch; where processes work together, each runs a batch in turn and the first has all."""
    ranks = group()
    for start in range(0, iterations, ranks.size):
        own: dict[str, Array] | None = None
        if start + ranks.rank < iterations:
            net.forward()
            own = {name: np.atleast_1d(net.blobs[name].data) for name in blobs}
        yield from (batch for batch in ranks.gather(own, first_only=True) if batch is not None)


@contextmanager
def _alone(out: Path, overwrite: bool, folder: bool) -> Iterator[Path]:
    """As `replacing`, while no other process writes there."""
    with lock(out, "features", "choose another OUT"):
        bring_back(out)
        if exists(out) and not overwrite:
            raise DataError(f'"{out}" exists already; use --overwrite to replace it.')
        if is_dir(out) and not all(is_database(path) for path in out.iterdir()):
            raise DataError(f'"{out}" is a folder that holds other things than databases; choose another OUT.')
        with replacing(out, "results", folder=folder) as part:
            yield part


def checked_suffix(out: Path) -> str:
    """The suffix in small letters; DataError for one that asks for a format there is not."""
    suffix = out.suffix.lower()
    if suffix not in FORMATS + FOLDERS and not is_dir(out):
        known = ", ".join(FORMATS)
        raise DataError(f'"{out}" must end in {known}, or have no suffix: a folder for LMDB databases.')
    return suffix


class _Sink:
    """Takes the batches of the blobs; ``path`` is going to be called ``out``."""

    def __init__(self, path: Path, out: Path, stack: ExitStack, blobs: Sequence[str]) -> None:
        self.path, self.stack = path, stack

    def add(self, name: str, values: Array, count: int) -> None:
        """Append a batch; ``count`` items of the blob came before."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write what is left."""


class _Npz(_Sink):
    def __init__(self, path: Path, out: Path, stack: ExitStack, blobs: Sequence[str]) -> None:
        super().__init__(path, out, stack, blobs)
        self.batches: dict[str, list[Array]] = {name: [] for name in blobs}

    def add(self, name: str, values: Array, count: int) -> None:
        self.batches[name].append(values.copy())

    def finish(self) -> None:
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for name, batches in self.batches.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.concatenate(batches), allow_pickle=False)


class _Hdf5(_Sink):
    def __init__(self, path: Path, out: Path, stack: ExitStack, blobs: Sequence[str]) -> None:
        super().__init__(path, out, stack, blobs)
        self.file, self.check = stack.enter_context(writing(h5py_module("features"), path))

    def add(self, name: str, values: Array, count: int) -> None:
        if name not in self.file:
            self.file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]), chunks=values.shape)
        else:
            dataset = self.file[name]
            dataset.resize(count + len(values), axis=0)
            dataset[count:] = values
        # Not at the end alone: a full disk would be told of after hours.
        self.check()


class _Databases(_Sink):
    def __init__(self, path: Path, out: Path, stack: ExitStack, blobs: Sequence[str]) -> None:
        super().__init__(path, out, stack, blobs)
        self.writers: dict[str, Writer] = {}
        for name in blobs:
            folder = as_file_name(to_native(name))
            (path / folder).mkdir()
            self.writers[name] = stack.enter_context(lmdb_writer(path / folder, out / folder, "results"))

    def add(self, name: str, values: Array, count: int) -> None:
        shape = (*values.shape[1:], 1, 1, 1)[:3]
        if values.ndim > 4:
            raise DataError(f'a Datum holds at most 3 axes; "{name}" has {values.ndim - 1}. Write .npz or .h5.')
        for index, item in enumerate(values):
            datum = caffe_pb2.Datum(channels=shape[0], height=shape[1], width=shape[2])
            datum.float_data.extend(item.ravel().tolist())
            self.writers[name].put(f"{count + index:010d}", datum.SerializeToString())
