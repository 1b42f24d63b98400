"""The safetensors format: a length, a JSON table of tensors, their bytes. Read and written without the library.

Source: https://github.com/huggingface/safetensors, section "Format".
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from segcaffe.blob.blob import MAX_AXES
from segcaffe.errors import WeightsError

Array = np.ndarray[Any, Any]

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
    "BF16": "<u2",
}  # fmt: skip
_WRITTEN = {"float16": "F16", "float64": "F64", "int64": "I64"}
_BFLOAT16 = "BF16"
_MAX_HEADER = 100_000_000
_ALIGNMENT = 8


def encode(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a file with these arrays (float16, float32, float64 or int64), in this order."""
    table: dict[str, Any] = {"__metadata__": dict(metadata)}
    parts: list[bytes] = []
    end = 0
    for name, array in arrays.items():
        kind = _WRITTEN.get(array.dtype.name, "F32")
        data = np.ascontiguousarray(array, _DTYPES[kind]).tobytes()
        table[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end + len(data)]}
        end += len(data)
        parts.append(data)
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    return b"".join([struct.pack("<Q", len(header)), header, *parts])


def decode(data: bytes, where: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and the metadata in a file's bytes; WeightsError naming ``where`` if they are damaged."""
    table, body = _table(data, where)
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise _damaged(where, "its metadata is no table")
    tensors = {name: _tensor(name, entry, body, where) for name, entry in table.items()}
    _check_apart(tensors, where)
    return {name: _values(tensor, body) for name, tensor in tensors.items()}, metadata


def dtypes(data: bytes, where: str = "bytes") -> dict[str, str]:
    """Return what each tensor is stored as, by NumPy's names and "bfloat16"; of bytes that `decode` has read."""
    table, _ = _table(data, where)
    table.pop("__metadata__", None)
    return {name: "bfloat16" if entry["dtype"] == _BFLOAT16 else np.dtype(_DTYPES[entry["dtype"]]).name
            for name, entry in table.items()}  # fmt: skip


class _Tensor(NamedTuple):
    """A tensor's type and shape, and its first byte and the one behind its last."""

    kind: str
    shape: list[int]
    start: int
    end: int


def _table(data: bytes, where: str) -> tuple[dict[str, Any], memoryview]:
    size = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else _MAX_HEADER + 1
    if size > min(_MAX_HEADER, len(data) - 8):
        raise _damaged(where, "its header is longer than the file")
    try:
        table = json.loads(data[8 : 8 + size])
    except (ValueError, RecursionError) as error:
        raise _damaged(where, "its header is no JSON") from error
    if not isinstance(table, dict):
        raise _damaged(where, "its header is no table")
    return table, memoryview(data)[8 + size :]


def _tensor(name: str, entry: Any, body: memoryview, where: str) -> _Tensor:
    try:
        kind, shape = entry["dtype"], [int(extent) for extent in entry["shape"]]
        start, end = (int(offset) for offset in entry["data_offsets"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(where, f'the entry of "{name}" is incomplete') from error
    if not isinstance(kind, str) or len(shape) > MAX_AXES:
        raise _damaged(where, f'the entry of "{name}" has a type that is no name, or more than {MAX_AXES} axes')
    if kind not in _DTYPES:
        raise WeightsError(f'{where}: tensor "{name}" has dtype {kind}; known: {", ".join(_DTYPES)}.')
    if min(shape, default=0) < 0 or not 0 <= start <= end <= len(body):
        raise _damaged(where, f'the bytes of "{name}" lie outside it')
    if math.prod(shape) * np.dtype(_DTYPES[kind]).itemsize != end - start:
        raise _damaged(where, f'"{name}" has {end - start} bytes for shape {tuple(shape)} of {kind}')
    return _Tensor(kind, shape, start, end)


def _check_apart(tensors: Mapping[str, _Tensor], where: str) -> None:
    """Raise WeightsError where tensors share bytes: a small file would become many large arrays."""
    end, before = 0, ""
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start < end:
            raise _damaged(where, f'the bytes of "{before}" and "{name}" overlap')
        end, before = tensor.end, name


def _values(tensor: _Tensor, body: memoryview) -> Array:
    values = np.frombuffer(body[tensor.start : tensor.end], _DTYPES[tensor.kind]).reshape(tensor.shape)
    if tensor.kind == _BFLOAT16:
        # A bfloat16 is the upper half of a float32.
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float64 if tensor.kind == "F64" else np.float32)


def _damaged(where: str, reason: str) -> WeightsError:
    return WeightsError(f"{where}: the safetensors file is damaged: {reason}.")
