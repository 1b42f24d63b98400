"""Rows of HDF5 files: several datasets of equal length a file."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from segcaffe.errors import DataError

Rows = tuple[NDArray[np.float32], ...]


def h5py_module(where: str) -> ModuleType:
    """The h5py package; DataError that says how to get it where it is missing."""
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"{where}: needs the package h5py. Install it: pip install h5py.") from error
    module: ModuleType = h5py
    return module


def read_rows(path: str, names: Sequence[str], context: str) -> Rows:
    """The datasets of those names, each (rows, ...).

    Raises
    ------
    DataError
        The file is missing or no HDF5 file, lacks a dataset, or its datasets are scalars or of unequal length.
    """
    h5py = h5py_module(context)
    try:
        with h5py.File(path, "r") as file:
            datasets = tuple(_dataset(file, name, path, context) for name in names)
    except OSError as error:
        raise DataError(f'{context}: cannot read "{path}" as HDF5: {error}.') from error
    lengths = [len(values) for values in datasets]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise DataError(
            f'{context}: the datasets of "{path}" must have equally many rows, at least 1. '
            f"Received: {dict(zip(names, lengths, strict=True))}."
        )
    return datasets


def _dataset(file: dict[str, NDArray[np.float32]], name: str, path: str, context: str) -> NDArray[np.float32]:
    if name not in file:
        raise DataError(
            f'{context}: "{path}" has no dataset "{name}", the name of a top. It has: {", ".join(sorted(file))}.'
        )
    values = np.asarray(file[name])
    if values.ndim == 0 or values.dtype.kind not in "fiub":
        raise DataError(f'{context}: dataset "{name}" of "{path}" must be an array of numbers with rows along axis 0.')
    return values.astype(np.float32, copy=False)
