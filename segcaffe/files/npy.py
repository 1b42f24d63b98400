"""Arrays in NumPy's .npy format, and in archives of them, read without trust in what their header claims."""

from __future__ import annotations

import io
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.errors import SegcaffeError
from segcaffe.files.limits import Budget

DAMAGE = (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, OverflowError, zipfile.BadZipFile,
          zlib.error, lzma.LZMAError, struct.error)  # fmt: skip
"""What `zipfile` raises for damaged archives."""
_FLOAT = 4
_MOST_HEADER = 10_000
"""Bytes; NumPy takes no longer one, but reads it first."""
_MOST_AXES = 32
"""What NumPy 1 makes, and Caffe's blobs have."""


def read_array(file: IO[bytes], size: int, take: Callable[[int], object] | None = None) -> NDArray[Any]:
    """The array in a file of that many bytes; its bytes are counted before there is room made for them.

    ValueError for anything else, of which the text says what is wrong. Nothing in the file is run. ``take`` is told how
    many bytes the array has, of elements of four bytes at least, before it is made.
    """
    shape, in_fortran_order, dtype = _header(file)
    if dtype.hasobject or dtype.itemsize == 0 or min(shape, default=0) < 0:
        raise ValueError("it is no array of numbers")
    if len(shape) > _MOST_AXES:
        raise ValueError(f"its shape has {len(shape)} axes; {_MOST_AXES} can be read")
    count = math.prod(shape)
    if count * dtype.itemsize > size:
        raise ValueError(f"it has fewer values than its shape {shape}")
    if take is not None:
        take(count * max(_FLOAT, dtype.itemsize))
    values = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    array: NDArray[Any] = values.reshape(shape, order="F" if in_fortran_order else "C")
    return array


def array_of_bytes(content: bytes) -> NDArray[Any]:
    """The array in the bytes of a .npy file, writable; errors as in `read_array`."""
    array: NDArray[Any] = read_array(io.BytesIO(content), len(content)).copy(order="K")
    return array


def read_member(file: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> NDArray[Any]:
    """An array of an .npz archive, whose bytes are taken from the budget first; errors as in `read_array`."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Others are unpacked in pieces of any size.
        raise ValueError(f"{info.filename}: NumPy packs by no other method than deflate")
    with file.open(info) as member:
        try:
            return read_array(member, info.file_size, lambda count: budget.take(count, f'"{info.filename}"'))
        except SegcaffeError:
            raise
        except ValueError as error:
            raise ValueError(f"{info.filename}: {error}") from error


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of the format is not known")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    size = file.read(2 if version == (1, 0) else 4)
    length = int.from_bytes(size, "little")
    if length > _MOST_HEADER:
        raise ValueError(f"its header claims {length} bytes; {_MOST_HEADER} can be read")
    try:
        shape, in_fortran_order, dtype = read(io.BytesIO(size + file.read(length)))
    # A header is a Python literal; NumPy lets some of what is wrong with one through as Python says it.
    except (SyntaxError, tokenize.TokenError, TypeError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(f"its header cannot be read ({type(error).__name__})") from error
    return tuple(int(extent) for extent in shape), in_fortran_order, dtype
