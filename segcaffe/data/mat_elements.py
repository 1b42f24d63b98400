"""MATLAB files of versions 4, 5 and 7 (not 7.3): their variables of numbers, and structs of such.

SciPy's reader, made for more kinds of variables, ends the process at some damaged files. Here every length is compared
with the bytes that are there before it is used.

Source: "MAT-File Format", The MathWorks, for version 5: a header of 128 bytes, then elements of a tag (type and number
of bytes) and data; matrices are elements with elements inside, perhaps compressed.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from segcaffe.files.limits import Budget

Array = NDArray[Any]
Variable = Array | Mapping[str, Array | None] | None
"""Numbers in the type that they are stored in, shape as in MATLAB; the fields of a struct; None for anything else."""

_HEAD = 128
_VERSION_73 = 2
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED, _UTF8 = 1, 5, 6, 14, 15, 16
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_STRUCT, _CLASSES_OF_NUMBERS = 2, range(6, 16)
_COMPLEX = 0x08
_MOST_AXES = 32
_LONGEST_HEAD = 4096
"""Bytes of a matrix that have its name in them, which is at most 63 letters long."""
_PIECE = 1 << 16
_OLD_HEAD, _OLD_MOST = 20, 5000
_OLD_NUMBERS = ("f8", "f4", "i4", "i2", "u2", "u1")


class Element(NamedTuple):
    """An element: its type, its data, and where the next one begins."""

    type: int
    data: memoryview
    end: int


_NOTHING = Element(0, memoryview(b""), 0)


@dataclass(frozen=True)
class _Matrix:
    """What a matrix says of itself, and the elements that follow: its values, or those of a struct's fields."""

    kind: int
    flags: int
    shape: tuple[int, ...]
    name: str
    rest: memoryview


def read_variable(content: bytearray, name: str, budget: Budget) -> Variable:
    """The variable of that name; None where there is none, or it is of a kind that is not read (text, cells, sparse).

    Where the values lie in ``content`` as they are needed, the array lies there, too.

    Raises
    ------
    ValueError
        The bytes are no MATLAB file, or damaged; the text says why.
    LimitError
        What is compressed in them would take more than ``budget`` has left.
    """
    if 0 in content[:4]:
        return _old_variable(content, name)
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]))
    if order is None:
        raise ValueError("it does not begin as one does")
    version = content[125] if order == "<" else content[124]
    if version >= _VERSION_73:
        raise ValueError("it is of version 7.3 (HDF5); save it with -v7")
    for element in _elements(memoryview(content)[_HEAD:], order):
        matrix = _matrix_of(element, name, order, budget)
        if matrix is not None:
            return _struct(matrix, order) if matrix.kind == _STRUCT else _values(matrix, order)
    return None


def _matrix_of(element: Element, name: str, order: str, budget: Budget) -> _Matrix | None:
    """The matrix that a file's element holds, if it has that name."""
    if element.type == _COMPRESSED:
        head = _inflated(element.data, _LONGEST_HEAD)
        kind, size = struct.unpack_from(f"{order}II", head) if len(head) >= 8 else (0, 0)
        if kind != _MATRIX or _matrix(head[8:], order).name != name:
            return None
        budget.take(size, f'the variable "{name}"')
        whole = _inflated(element.data, 8 + size)
        return _matrix(next(_elements(whole, order)).data, order)
    if element.type != _MATRIX:
        raise ValueError(f"an element of type {element.type} stands where variables do")
    matrix = _matrix(element.data, order)
    return matrix if matrix.name == name else None


def _inflated(data: memoryview, most: int) -> memoryview:
    """The first bytes of what is compressed, as many as ``most``; they can be written to."""
    out, at, stream = bytearray(most), 0, zlib.decompressobj()
    try:
        for start in range(0, len(data), _PIECE):
            piece = stream.decompress(data[start : start + _PIECE], most - at)
            out[at : at + len(piece)] = piece
            at += len(piece)
            if at == most:
                break
    except zlib.error as error:
        raise ValueError(f"what is compressed in it is damaged ({error})") from error
    return memoryview(out)[:at]


def _elements(data: memoryview, order: str) -> Iterator[Element]:
    """The elements that follow each other in ``data``; ValueError where one is longer than what is left."""
    at = 0
    while len(data) - at >= 8:
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:
            # A short one: number of bytes and type share four, and the data lies in the other four.
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start, end = at + 8, at + 8 + size
            # All but the compressed ones are filled up to multiples of eight bytes.
            end += 0 if kind == _COMPRESSED else -size % 8
        if start + size > len(data) or (start == at + 4 and size > 4):
            raise ValueError(f"an element claims {size} bytes where {len(data) - start} are left")
        yield Element(kind, data[start : start + size], end)
        at = end


def _matrix(data: memoryview, order: str) -> _Matrix:
    """Read flags, shape and name; ValueError unless they are there."""
    if len(data) == 0:
        return _Matrix(0, 0, (0, 0), "", data)
    elements = _elements(data, order)
    flags, extents, name = (next(elements, _NOTHING) for _ in range(3))
    if flags.type != _UINT32 or len(flags.data) != 8 or extents.type != _INT32 or name.type not in (_INT8, _UTF8):
        raise ValueError("a variable does not begin with its kind, shape and name")
    word = struct.unpack(f"{order}I4x", flags.data)[0]
    shape = struct.unpack(f"{order}{len(extents.data) // 4}i", extents.data[: len(extents.data) // 4 * 4])
    if not 2 <= len(shape) <= _MOST_AXES or min(shape) < 0:
        raise ValueError(f"a variable has the shape {shape[:_MOST_AXES]}")
    return _Matrix(word & 0xFF, word >> 8 & 0xFF, shape, bytes(name.data).decode("latin-1"), data[name.end :])


def _values(matrix: _Matrix, order: str) -> Array | None:
    """The numbers of a matrix; None for one of another kind, or of complex numbers."""
    if matrix.kind not in _CLASSES_OF_NUMBERS or matrix.flags & _COMPLEX:
        return None
    element = next(_elements(matrix.rest, order), None)
    if element is None or element.type not in _NUMBERS:
        raise ValueError(f'the variable "{matrix.name}" has no values')
    return _array(element.data, order + _NUMBERS[element.type], matrix.shape)


def _array(data: memoryview, kind: str, shape: tuple[int, ...]) -> Array:
    dtype = np.dtype(kind)
    count = math.prod(shape)
    if count * dtype.itemsize > len(data):
        raise ValueError(f"an array of shape {shape} has {len(data)} bytes")
    values = np.frombuffer(data, dtype, count) if count else np.empty(0, dtype)
    owned = dtype.isnative and values.flags.writeable and values.flags.aligned
    return (values if owned else values.astype(dtype.newbyteorder("="))).reshape(shape, order="F")


def _struct(matrix: _Matrix, order: str) -> Mapping[str, Array | None] | None:
    """The fields of a single struct that are numbers, and None for the others; None for several structs."""
    elements = _elements(matrix.rest, order)
    length, names = (next(elements, _NOTHING) for _ in range(2))
    width = int.from_bytes(length.data, "little" if order == "<" else "big")
    if length.type != _INT32 or names.type != _INT8 or width < 1:
        raise ValueError(f'the struct "{matrix.name}" has no names of fields')
    if math.prod(matrix.shape) != 1:
        return None
    fields: dict[str, Array | None] = {}
    for start in range(0, len(names.data), width):
        field = next(elements, _NOTHING)
        if field.type != _MATRIX:
            raise ValueError(f'the struct "{matrix.name}" lacks a field')
        text = bytes(names.data[start : start + width]).partition(b"\0")[0].decode("latin-1")
        fields[text] = _values(_matrix(field.data, order), order)
    return fields


def _old_variable(content: bytearray, name: str) -> Array | None:
    """As `read_variable`, of a file of version 4: for each variable five integers, its name, its values."""
    at = 0
    while len(content) - at >= _OLD_HEAD:
        # Thousands of the first integer are the order of bytes; read in the wrong one it is large.
        order = "<" if 0 <= struct.unpack_from("<i", content, at)[0] <= _OLD_MOST else ">"
        kind, rows, columns, has_imaginary, length = struct.unpack_from(f"{order}5i", content, at)
        precision, layout = kind // 10 % 10, kind % 10
        if not 0 <= kind <= _OLD_MOST or precision >= len(_OLD_NUMBERS) or min(rows, columns) < 0 or length < 1:
            raise ValueError("it does not begin as one does")
        start = at + _OLD_HEAD + length
        numbers = order + _OLD_NUMBERS[precision]
        end = start + rows * columns * np.dtype(numbers).itemsize * (2 if has_imaginary else 1)
        if end > len(content):
            raise ValueError(f"a variable of shape {rows} x {columns} goes on behind the end of the file")
        if content[start - length : start].rstrip(b"\0").decode("latin-1") == name:
            is_full = layout == 0 and not has_imaginary
            return _array(memoryview(content)[start:end], numbers, (rows, columns)) if is_full else None
        at = end
    return None
