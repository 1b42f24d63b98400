"""HDF5Data: rows of HDF5 files."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.data.hdf5 import Rows, read_rows
from segcaffe.data.lists import read_list
from segcaffe.data.loader import Share
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.source.base import SourceLayer
from segcaffe.proto.encoding import to_native


@register
class HDF5Data(SourceLayer):
    """Rows of the datasets that have the tops' names: top (batch_size, ...).

    ``hdf5_data_param.source`` lists the files, one a line; batches run on from one file to the next. With
    ``shuffle`` the files, and the rows within each, come in another order each epoch. A file is held in memory while
    its rows are used.
    """

    shared_out = True

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the list and the first file."""
        param = self.param.hdf5_data_param
        if param.batch_size < 1:
            raise DataError(f"{self.where}: batch_size must be at least 1. Received: {param.batch_size}.")
        if self.param.HasField("transform_param"):
            raise DataError(f"{self.where}: does not transform its data; remove transform_param.")
        self.files = [word for entry in read_list(to_native(param.source), self.where) for word in entry.words]
        self.seed = int(device.generator().integers(1 << 53))
        self.epoch = self.file = self.row = 0
        self.items = self.share()
        self._loaded: tuple[int, int, Rows] | None = None
        rows = self._rows()
        for blob, values in zip(top, rows, strict=True):
            blob.reshape(param.batch_size, *values.shape[1:])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Fill the tops with the next rows, of which all processes together take a batch each."""
        passed, size = 0, self.param.hdf5_data_param.batch_size
        while passed < size * self.items.size:
            passed += self._fill(top, passed)

    def take(self, share: Share) -> None:
        """Nothing is prepared."""
        self.items = share

    def state(self) -> dict[str, Any]:
        """Seed of the order, epoch, number of the file within it and of the row within that."""
        return {"seed": self.seed, "epoch": self.epoch, "file": self.file, "row": self.row}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue the order where `state` was taken."""
        self.seed, self.epoch, self.file, self.row = (int(state[key]) for key in ("seed", "epoch", "file", "row"))
        self._loaded = None

    def _fill(self, top: Blobs, start: int) -> int:
        """Pass over rows of the current file, copying this process's; return how many were passed.

        ``start`` is how many of this time's rows were passed before.
        """
        rows, size = self._rows(), self.param.hdf5_data_param.batch_size
        count = min(len(rows[0]) - self.row, size * self.items.size - start)
        own, at = self.items.part(start, count, size)
        for blob, values in zip(top, rows, strict=True):
            if values.shape[1:] != blob.shape[1:]:
                raise DataError(
                    f"{self.where}: the rows of all files must have one shape: {values.shape[1:]} in "
                    f'"{self.files[self._order()[self.file]]}", {blob.shape[1:]} before.'
                )
            taken = values[self.row : self.row + count][own]
            blob.data[at : at + len(taken)] = taken
        self.row += count
        if self.row == len(rows[0]):
            self._next_file()
        return count

    def _next_file(self) -> None:
        self.row, self.file = 0, self.file + 1
        if self.file == len(self.files):
            self.file, self.epoch = 0, self.epoch + 1

    def _rows(self) -> Rows:
        """The current file's rows in the epoch's order."""
        if self._loaded is None or self._loaded[:2] != (self.epoch, self.file):
            # One file, never shuffled, stays as it is from epoch to epoch.
            unchanged = self._loaded is not None and len(self.files) == 1 and not self.param.hdf5_data_param.shuffle
            rows = self._loaded[2] if self._loaded and unchanged else self._read()
            self._loaded = (self.epoch, self.file, rows)
        return self._loaded[2]

    def _read(self) -> Rows:
        number = self._order()[self.file]
        rows = read_rows(self.files[number], list(self.param.top), self.where)
        if not self.param.hdf5_data_param.shuffle:
            return rows
        order = np.random.default_rng([self.seed, self.epoch, number + 1]).permutation(len(rows[0]))
        return tuple(values[order] for values in rows)

    def _order(self) -> list[int]:
        """The epoch's order of the files."""
        if not self.param.hdf5_data_param.shuffle:
            return list(range(len(self.files)))
        order: list[int] = np.random.default_rng([self.seed, self.epoch, 0]).permutation(len(self.files)).tolist()
        return order
