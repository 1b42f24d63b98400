"""Palette PNGs: label maps that look like something and still hold their numbers."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.files import write_bytes
from segcaffe.errors import DataError
from segcaffe.viz.embedding import voc_palette

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EIGHT_BITS = 8
_PALETTE = 3


def write_label(path: Path, label: NDArray[Any], where: str, palette: NDArray[np.uint8] | None = None) -> None:
    """Write a label map as a palette PNG; the file appears when it is complete.

    Parameters
    ----------
    label:
        (H, W), integers 0 to 255.
    palette:
        (n, 3) colours R, G, B; PASCAL VOC's if not given.

    Raises
    ------
    DataError
        A label is larger than 255 or negative, or the file cannot be written.
    """
    if label.size and (label.min() < 0 or label.max() > 255):
        raise DataError(
            f'{where}: "{path}" cannot hold labels outside 0..255. Received: {label.min()} to {label.max()}.'
        )
    write_bytes(path, encode_label(label.astype(np.uint8), palette), where)


def encode_label(label: NDArray[np.uint8], palette: NDArray[np.uint8] | None = None) -> bytes:
    """The bytes of a palette PNG of a label map (H, W)."""
    height, width = label.shape
    colours = voc_palette() if palette is None else palette
    # Each row starts with the number of its filter: 0, none, which suits flat regions.
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = label
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, _EIGHT_BITS, _PALETTE, 0, 0, 0)),
            _chunk(b"PLTE", np.ascontiguousarray(colours, np.uint8).tobytes()),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
