"""Palette PNGs: label maps that look like something and still hold their numbers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.files import write_bytes
from segcaffe.data.palettes import voc_palette
from segcaffe.errors import DataError


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
        There is no label, or one larger than 255 or negative, or the file cannot be written.
    """
    if not label.size:
        raise DataError(f'{where}: "{path}" cannot be written: a label map of shape {label.shape} has no pixels.')
    if label.min() < 0 or label.max() > 255:
        raise DataError(
            f'{where}: "{path}" cannot hold labels outside 0..255. Received: {label.min()} to {label.max()}.'
        )
    write_bytes(path, encode_label(label.astype(np.uint8), palette), where, one_of_many=True)


def encode_label(label: NDArray[np.uint8], palette: NDArray[np.uint8] | None = None) -> bytes:
    """The bytes of a palette PNG of a label map (H, W)."""
    from PIL import Image

    # Of fewer colours Pillow would make fewer bits a pixel, whatever the labels.
    colours = np.zeros((256, 3), np.uint8)
    given = voc_palette() if palette is None else palette
    colours[: len(given)] = given
    image = Image.fromarray(np.ascontiguousarray(label))
    image.putpalette(colours.tobytes())
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
