"""Datum messages: one labelled image or array of a database."""

from __future__ import annotations

from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from segcaffe.data.images import decode
from segcaffe.errors import DataError
from segcaffe.proto import caffe_pb2


def parse_datum(content: bytes, where: str) -> caffe_pb2.Datum:
    """The message in a database's value; DataError if it is none."""
    try:
        return caffe_pb2.Datum.FromString(content)
    except DecodeError as error:
        raise DataError(f"{where}: a value of the database is not a Datum message.") from error


def datum_array(datum: caffe_pb2.Datum, where: str) -> NDArray[Any]:
    """The values (C, H, W) of a Datum that is not encoded: 8-bit, or float32."""
    shape = (datum.channels, datum.height, datum.width)
    # Each look at the field copies it.
    data = datum.data
    values: NDArray[Any] = np.frombuffer(data, np.uint8) if data else np.array(datum.float_data, np.float32)
    if min(shape) < 1 or values.size != np.prod(shape):
        raise DataError(
            f"{where}: a Datum must hold channels * height * width values, at least 1. Received: {values.size} values, "
            f"shape {shape}."
        )
    return values.reshape(shape)


def datum_image(datum: caffe_pb2.Datum, color: bool | None, where: str) -> NDArray[np.uint8]:
    """The image (H, W, C) of an encoded Datum: BGR (``color`` true), gray (false), or as it was stored (None)."""
    return decode(datum.data, color, f"{where}: cannot decode a Datum of {len(datum.data)} bytes")
