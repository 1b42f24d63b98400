"""HDF5Output: blobs into an HDF5 file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from segcaffe.blob import Blob
from segcaffe.data.files import replacing
from segcaffe.data.hdf5 import h5py_module
from segcaffe.errors import DataError, SegcaffeError
from segcaffe.files.disk import why_unwritable
from segcaffe.files.hdf5_writer import appending, writing
from segcaffe.files.lock import Lock, lock
from segcaffe.files.there import is_dir
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto.encoding import to_native
from segcaffe.trust.rules import check_written

_NAMES = ("data", "label")


@register
class HDF5Output(Layer):
    """Appends bottom 0 to dataset ``data`` and bottom 1 to ``label`` of ``hdf5_output_param.file_name``.

    bottom: two blobs with equal batch sizes; no top. Blobs of fewer than 4 axes are written with axes of 1 appended,
    as Caffe does. The file is made anew by the first forward, and complete after each.
    """

    bottom_count = (2, 2)
    top_count = (0, 0)
    sink = True
    gradient_to = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there is a file to write to."""
        self.path = Path(to_native(self.param.hdf5_output_param.file_name))
        if not self.param.hdf5_output_param.file_name:
            raise self.fail("hdf5_output_param must have a file_name")
        self.started, self.chunk = False, 0
        self._lock: Lock | None = None
        h5py_module(self.where)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the batch sizes."""
        if _shape(bottom[0])[0] != _shape(bottom[1])[0]:
            raise self.fail("both bottoms need the same batch size", f"{bottom[0].shape} and {bottom[1].shape}")

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Append the bottoms."""
        check_written(self.where, self.path)
        if self._lock is None:
            # Where nothing can be written, writing says so.
            with suppress(DataError):
                self._lock = lock(self.path, "HDF5Output", "choose another file_name")
        h5py = h5py_module(self.where)
        size = sum(blob.data.nbytes for blob in bottom)
        if not self.started:
            if is_dir(self.path):
                raise DataError(f'{self.where}: cannot write "{self.path}": it is a folder; choose another file_name.')
            with replacing(self.path, self.where) as part, writing(h5py, part) as (file, _):
                self._append(file, bottom)
            self.started, self.chunk = True, size
            return
        try:
            # A batch may end in the middle of a chunk.
            with appending(h5py, self.path, size + self.chunk) as file:
                self._append(file, bottom)
        except SegcaffeError:
            raise
        except OSError as error:
            raise DataError(f'{self.where}: cannot append to "{self.path}": {why_unwritable(error)}.') from error

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Nothing to send back."""

    def _append(self, file: Any, bottom: Blobs) -> None:
        for name, blob in zip(_NAMES, bottom, strict=True):
            self._append_blob(file, name, blob)

    def _append_blob(self, file: Any, name: str, blob: Blob) -> None:
        shape = _shape(blob)
        if not blob.count:
            return
        if name not in file:
            file.create_dataset(name, data=blob.data.reshape(shape), maxshape=(None, *shape[1:]), chunks=shape)
            return
        dataset = file[name]
        if dataset.shape[1:] != shape[1:]:
            raise self.fail(f'all batches of "{name}" must have one shape but for the batch size', shape)
        dataset.resize(len(dataset) + shape[0], axis=0)
        dataset[-shape[0] :] = blob.data.reshape(shape)


def _shape(blob: Blob) -> tuple[int, ...]:
    return blob.shape + (1,) * (4 - blob.ndim)
