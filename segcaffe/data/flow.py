"""Optical flow files (.flo)."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.images import read_bytes
from segcaffe.errors import DataError

_MAGIC = 202021.25


def read_flo(path: str, context: str) -> NDArray[np.float32]:
    """The flow (2, H, W) of a file: horizontal, then vertical displacement in pixels.

    The format is little-endian: the float 202021.25, width and height as 32-bit integers, then for each pixel, row by
    row, its two floats.

    Raises
    ------
    DataError
        The file is missing, of another kind, or shorter than its header says.
    """
    content = read_bytes(path, context)
    if len(content) < 12 or struct.unpack_from("<f", content)[0] != _MAGIC:
        raise DataError(f'{context}: "{path}" is not a .flo file: it must start with the float {_MAGIC}.')
    width, height = struct.unpack_from("<ii", content, 4)
    if min(width, height) < 1 or len(content) < 12 + 8 * width * height:
        raise DataError(
            f'{context}: "{path}" is damaged: it says {width} x {height} pixels and has {len(content)} bytes, '
            f"where {12 + 8 * width * height} are needed."
        )
    pixels = np.frombuffer(content, "<f4", 2 * width * height, 12).reshape(height, width, 2)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)
