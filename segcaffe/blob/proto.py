"""Between a blob and its message: shapes old and new, floats moved as bytes rather than one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from segcaffe.blob.blob import MAX_AXES, Blob
from segcaffe.errors import WeightsError
from segcaffe.proto import caffe_pb2, wire

_FIELDS = {("data", 4): 5, ("diff", 4): 6, ("data", 8): 8, ("diff", 8): 9}
"""BlobProto field numbers by what they hold and the size of an element."""
_RAW_DTYPES = {caffe_pb2.RAW_DOUBLE: "<f8", caffe_pb2.RAW_FLOAT: "<f4", caffe_pb2.RAW_FLOAT16: "<f2"}
"""Elements of NVCaffe's ``raw_data``."""


def to_proto(blob: Blob, write_diff: bool = False) -> caffe_pb2.BlobProto:
    """Return the message of a blob: shape, values, and the gradient if asked for."""
    message = _of_shape(blob.shape)
    _put(message, "data", blob.data)
    if write_diff:
        _put(message, "diff", blob.diff)
    return message


def shape_of(message: caffe_pb2.BlobProto) -> tuple[int, ...]:
    """Shape a message declares: its ``shape``, or the old num, channels, height, width; none of both for a scalar."""
    if message.HasField("shape"):
        return tuple(message.shape.dim)
    if any(message.HasField(f) for f in ("num", "channels", "height", "width")):
        return (message.num, message.channels, message.height, message.width)
    values = values_of(message)
    count = 0 if values is None else values.size
    return () if count == 1 else (count,)


def values_of(message: caffe_pb2.BlobProto, kind: str = "data") -> np.ndarray[Any, Any] | None:
    """Flat array of the message's values ("data") or gradient ("diff"); None where it has none.

    Values of half precision, which NVCaffe stores as raw bytes, become float32.
    """
    if message.HasField("raw_data" if kind == "data" else "raw_diff"):
        return _raw(message, kind)
    for name, dtype in ((f"double_{kind}", np.float64), (kind, np.float32)):
        numbers = getattr(message, name)
        if len(numbers):
            return _flat(message, name, np.dtype(dtype), len(numbers))
    return None


def stored_dtype(message: caffe_pb2.BlobProto) -> str:
    """Type of the message's values: float32, float64 or float16; "none" where it has none."""
    if message.HasField("raw_data"):
        return str(np.dtype(_RAW_DTYPES[message.raw_data_type]))
    return "float64" if len(message.double_data) else "float32" if len(message.data) else "none"


def array_of(message: caffe_pb2.BlobProto, where: str) -> np.ndarray[Any, Any]:
    """Values in their shape; WeightsError (naming ``where``) if shape and number of values disagree."""
    shape, values = shape_of(message), flat_array_of(message, where)
    try:
        return values.reshape(shape)
    except ValueError as error:
        # No values, of which there would be too many but for an extent of 0.
        raise WeightsError(f"{where}: no array can have the shape {shape}; the file is damaged.") from error


def flat_array_of(message: caffe_pb2.BlobProto, where: str) -> np.ndarray[Any, Any]:
    """The values of `array_of` in a flat array, of which nobody has a view."""
    shape, values = shape_of(message), values_of(message)
    count = 0 if values is None else values.size
    if len(shape) > MAX_AXES:
        raise WeightsError(f"{where}: a blob has at most {MAX_AXES} axes. Received: {len(shape)}; the file is damaged.")
    if math.prod(shape) != count or any(extent < 0 for extent in shape):
        raise WeightsError(f"{where}: holds {count} values for shape {shape}; the file is damaged.")
    return np.zeros(0, np.float32) if values is None else values


def same_shape(shape: tuple[int, ...], message: caffe_pb2.BlobProto) -> bool:
    """Whether a blob of ``shape`` takes the message's values.

    The shapes are equal, or equal but for leading ones: old files, and what was converted from them, have four axes.
    """
    theirs = shape_of(message)
    if theirs == shape:
        return True
    legacy = not message.HasField("shape") or len(theirs) == 4
    return legacy and len(shape) <= 4 and (1,) * (4 - len(shape)) + shape == (1,) * (4 - len(theirs)) + theirs


def from_array(values: np.ndarray[Any, Any]) -> caffe_pb2.BlobProto:
    """Return a message with the shape and values of an array (float32 or float64)."""
    message = _of_shape(values.shape)
    _put(message, "data", values)
    return message


def without_values(message: caffe_pb2.BlobProto) -> caffe_pb2.BlobProto:
    """Return a message with shape and type alone, in the notation they had; an empty one for an empty one.

    That of a scalar has an empty ``shape``, which `set_values` takes away again.
    """
    bare = caffe_pb2.BlobProto()
    old = [name for name in ("num", "channels", "height", "width") if message.HasField(name)]
    for name in old:
        setattr(bare, name, getattr(message, name))
    if message.HasField("shape") or (not old and message.ByteSize()):
        bare.shape.SetInParent()
        bare.shape.dim.extend(shape_of(message))
    if message.HasField("raw_data"):
        bare.raw_data_type = message.raw_data_type
    return bare


def set_values(message: caffe_pb2.BlobProto, values: np.ndarray[Any, Any]) -> None:
    """Add the values to a message that has shape and type alone: as raw bytes where it names their type."""
    drop_empty_shape(message)
    if message.HasField("raw_data_type"):
        message.raw_data = np.ascontiguousarray(values, _RAW_DTYPES[message.raw_data_type]).tobytes()
    else:
        _put(message, "data", values)


def drop_empty_shape(message: caffe_pb2.BlobProto) -> None:
    """Take away a ``shape`` without dimensions: Caffe writes none for a scalar, and other readers refuse it."""
    if message.HasField("shape") and not message.shape.dim:
        message.ClearField("shape")


def _of_shape(shape: tuple[int, ...]) -> caffe_pb2.BlobProto:
    """A message that declares a shape, as Caffe does: not at all for a scalar."""
    message = caffe_pb2.BlobProto()
    if shape:
        message.shape.dim.extend(shape)
    return message


def _put(message: caffe_pb2.BlobProto, kind: str, values: np.ndarray[Any, Any]) -> None:
    """Add a packed field by merging its bytes: the wire form of packed floats is the array itself."""
    dtype = np.dtype("<f8" if values.dtype == np.float64 else "<f4")
    flat = np.ascontiguousarray(values, dtype).reshape(-1)
    tag = wire.tag(_FIELDS[kind, dtype.itemsize], wire.LENGTH)
    message.MergeFromString(tag + wire.write_varint(flat.nbytes) + flat.tobytes())


def _raw(message: caffe_pb2.BlobProto, kind: str) -> np.ndarray[Any, Any]:
    """Array of raw bytes; those of a cut-off last element are left out, so that the count tells."""
    raw: bytes = getattr(message, f"raw_{kind}")
    dtype = np.dtype(_RAW_DTYPES[getattr(message, f"raw_{kind}_type")])
    values = np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype)
    return values.astype(np.float64 if dtype.itemsize == 8 else np.float32)


def _flat(message: caffe_pb2.BlobProto, name: str, dtype: np.dtype[Any], count: int) -> np.ndarray[Any, Any]:
    numbers = getattr(message, name)
    return np.asarray(numbers, dtype) if hasattr(numbers, "__array__") else _written_out(message, name, dtype, count)


def _written_out(message: caffe_pb2.BlobProto, name: str, dtype: np.dtype[Any], count: int) -> np.ndarray[Any, Any]:
    """`_flat` where protobuf (before 7) gives NumPy single numbers only."""
    only = caffe_pb2.BlobProto()
    getattr(only, name).MergeFrom(getattr(message, name))
    data = only.SerializeToString()
    # Of large parameters each copy counts.
    del only
    # tag, length, then the numbers: they are the last bytes of the message.
    return np.frombuffer(data, dtype.newbyteorder("<"), count, len(data) - count * dtype.itemsize).astype(dtype)
