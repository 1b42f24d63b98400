"""Datum messages: one labelled image or array of a database."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from segcaffe.data.images import decode
from segcaffe.errors import DataError
from segcaffe.proto import caffe_pb2, wire
from segcaffe.text.words import counted

_FEW = 16
"""More fields than this are not walked one by one."""


def parse_datum(content: bytes, where: str) -> caffe_pb2.Datum:
    """The message in a database's value; DataError if it is none."""
    try:
        return caffe_pb2.Datum.FromString(content)
    except DecodeError as error:
        raise DataError(f"{where}: a value of the database is not a Datum message.") from error


def split_datum(content: bytes | memoryview, where: str) -> tuple[caffe_pb2.Datum, memoryview]:
    """The message in a database's value and its ``data``, which stays where it is: the message comes without it.

    Parsing copies bytes, and taking them from the message copies them again, while other threads wait.

    Raises
    ------
    DataError
        The value is no Datum message.
    """
    field = _only_data_field(content)
    if field is None:
        datum = parse_datum(bytes(content), where)
        return datum, memoryview(datum.data)
    datum = parse_datum(bytes(content[: field.begin]) + bytes(content[field.end :]), where)
    return datum, memoryview(content)[field.start : field.end]


def _only_data_field(content: bytes | memoryview) -> wire.WireField | None:
    """Where ``data`` lies in the message; None where it is not there once, or the message is long or damaged."""
    number = caffe_pb2.Datum.DATA_FIELD_NUMBER
    try:
        # Floats may be a field each: those are left to the library.
        found = list(islice(wire.fields(content), _FEW + 1))
    except wire.WireError:
        return None
    data = [field for field in found if field.number == number]
    return data[0] if len(found) <= _FEW and len(data) == 1 and data[0].kind == wire.LENGTH else None


def datum_array(datum: caffe_pb2.Datum, where: str, data: memoryview | None = None) -> NDArray[Any]:
    """The values (C, H, W) of a Datum that is not encoded: 8-bit, or float32.

    ``data`` is used in the place of the message's own; the values then lie in its memory.
    """
    shape = (datum.channels, datum.height, datum.width)
    # Each look at the field copies it.
    raw = datum.data if data is None else data
    values: NDArray[Any] = np.frombuffer(raw, np.uint8) if raw else np.array(datum.float_data, np.float32)
    if min(shape) < 1 or values.size != math.prod(shape):
        raise DataError(
            f"{where}: a Datum must hold channels * height * width values, at least 1. "
            f"Received: {counted(values.size, 'value')}, shape {shape}."
        )
    return values.reshape(shape)


def datum_image(datum: caffe_pb2.Datum, color: bool | None, where: str) -> NDArray[np.uint8]:
    """The image (H, W, C) of an encoded Datum: BGR (``color`` true), gray (false), or as it was stored (None)."""
    return decode_datum(datum.data, color, where)


def decode_datum(data: bytes, color: bool | None, where: str) -> NDArray[np.uint8]:
    """As `datum_image`, from the encoded bytes alone."""
    return decode(data, color, f"{where}: cannot decode a Datum of {counted(len(data), 'byte')}")
