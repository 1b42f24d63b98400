"""Rows of HDF5 files: several datasets of equal length a file."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.errors import DataError
from segcaffe.files import hdf5
from segcaffe.files.disk import why_unreadable
from segcaffe.files.regular import opened
from segcaffe.proto.content import HDF5, content_of

_NUMBERS = "fiub"
_HEAD = 4096

Rows = tuple[NDArray[np.float32], ...]


def h5py_module(where: str) -> ModuleType:
    """The h5py package; DataError that says how to get it where it is missing."""
    return hdf5.h5py_module(_missing(where))


def read_rows(path: str, names: Sequence[str], context: str) -> Rows:
    """The datasets of those names, each (rows, ...).

    Raises
    ------
    DataError
        The file is missing or no HDF5 file, lacks a dataset, or its datasets are scalars or of unequal length.
    """

    def damaged(reason: str) -> DataError:
        found = content_of(_head(path))
        received = f" Received: {found}." if found not in ("", HDF5) else ""
        return DataError(f'{context}: "{path}" cannot be read as HDF5.{received} The reason: {reason}.')

    try:
        # h5py wraps the system's reason in a sentence of its own.
        with opened(path):
            pass
    except OSError as error:
        raise DataError(f'{context}: cannot read "{path}": {why_unreadable(error, path)}') from error
    with hdf5.reading(path, f'{context}: "{path}"', _missing(context), damaged) as (file, budgets):
        datasets = tuple(
            hdf5.read_values(_dataset(file, name, path, context), _NUMBERS, budgets).astype(np.float32, copy=False)
            for name in names
        )
    lengths = [len(values) for values in datasets]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise DataError(
            f'{context}: the datasets of "{path}" must have equally many rows, at least 1. '
            f"Received: {dict(zip(names, lengths, strict=True))}."
        )
    return datasets


def _dataset(file: Any, name: str, path: str, context: str) -> Any:
    """The data set of that name: an array of numbers with rows."""
    if name not in file:
        raise DataError(
            f'{context}: "{path}" has no dataset "{name}", the name of a top. It has: {", ".join(sorted(file))}.'
        )
    try:
        dataset = file[name]
    except KeyError:
        raise DataError(f'{context}: "{name}" of "{path}" is a link to something that is not there.') from None
    shape, kind = getattr(dataset, "shape", None), getattr(getattr(dataset, "dtype", None), "kind", "")
    if not shape or kind not in _NUMBERS:
        raise DataError(
            f'{context}: "{name}" of "{path}" must be an array of numbers with rows along axis 0. '
            f"Received: {_description(dataset, shape)}."
        )
    return dataset


def _head(path: str) -> bytes:
    with opened(path) as file:
        return file.read(_HEAD)


def _missing(where: str) -> hdf5.Failure:
    return lambda advice: DataError(f"{where}: needs the package h5py. {advice}")


def _description(dataset: Any, shape: tuple[int, ...] | None) -> str:
    if not hasattr(dataset, "dtype"):
        return "a group"
    if shape is None:
        return "a data set without values (null)"
    return f"{dataset.dtype} of shape {shape}"
