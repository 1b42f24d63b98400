"""Rows of HDF5 files: several datasets of equal length a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.errors import DataError
from segcaffe.files import why_unreadable
from segcaffe.proto.content import HDF5, content_of

_NUMBERS = "fiub"
_HEAD = 4096

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
        # h5py wraps the system's reason in a sentence of its own.
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise DataError(f'{context}: cannot read "{path}": {why_unreadable(error, path)}') from error
    try:
        with h5py.File(path, "r") as file:
            datasets = tuple(_dataset(file, name, path, context) for name in names)
    except OSError as error:
        found = content_of(Path(path).read_bytes()[:_HEAD])
        received = f" Received: {found}." if found not in ("", HDF5) else ""
        raise DataError(f'{context}: "{path}" is no HDF5 file, or is damaged.{received} HDF5 says: {error}.') from error
    lengths = [len(values) for values in datasets]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise DataError(
            f'{context}: the datasets of "{path}" must have equally many rows, at least 1. '
            f"Received: {dict(zip(names, lengths, strict=True))}."
        )
    return datasets


def _dataset(file: Any, name: str, path: str, context: str) -> NDArray[np.float32]:
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
    values: NDArray[np.float32] = np.asarray(dataset).astype(np.float32, copy=False)
    return values


def _description(dataset: Any, shape: tuple[int, ...] | None) -> str:
    if not hasattr(dataset, "dtype"):
        return "a group"
    if shape is None:
        return "a data set without values (null)"
    return f"{dataset.dtype} of shape {shape}"
