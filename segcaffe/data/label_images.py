"""Label maps stored as images: the numbers in the file, not the brightness that a viewer shows."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.image_kinds import DAMAGES, image_kind
from segcaffe.data.images import check_pixels, decode_as_stored
from segcaffe.data.palettes import KNOWN, Palette
from segcaffe.errors import DataError

Labels = NDArray[Any]
"""(H, W), uint8, or uint16 where a label is larger than 255."""


class ColourError(DataError):
    """A label map holds colours, and nothing says what they stand for."""


_LARGEST = (1 << 16) - 1
_BITMAPS = (b"P1", b"P4")
_PLAIN_GRAY = (b"\x08\0", b"\x10\0")
"""Depth and colour type of PNGs that OpenCV gives as they are stored."""
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262


def decode_label(content: bytes, failure: str, palette: Palette | None = None) -> Labels:
    """The labels (H, W) that an encoded image holds: gray values of any depth, or the indices of a palette image.

    Colours are labels only by a palette, unless the three channels are equal; alpha channels are left out.
    ``failure`` is the first half of the sentence for content that is no label map.
    """
    check_pixels(content, failure)
    values = _plain_graymap(content, failure) if content[:2] == b"P2" else _single_channel(content, failure)
    if values is None:
        values = decode_as_stored(content, failure)
        if content[:2] in _BITMAPS:
            # Of these 1 is black, which OpenCV gives as 0.
            values = (values == 0).astype(np.uint8)
    return whole_labels(_one_channel(values, failure, palette), failure)


def whole_labels(values: NDArray[Any], failure: str) -> Labels:
    """Numbers (H, W) as labels; DataError unless they are integers from 0 to 65535."""
    if values.dtype == np.uint8:
        return values
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    # A NaN fails the comparison too.
    if not (low >= 0 and high <= _LARGEST) or (values.dtype.kind == "f" and not (values == np.floor(values)).all()):
        raise DataError(f"{failure}: labels must be integers from 0 to {_LARGEST}. Received: {low:g} to {high:g}.")
    return values.astype(np.uint8 if high <= 255 else np.uint16)


def _single_channel(content: bytes, failure: str) -> NDArray[Any] | None:
    """What a PNG, TIFF, BMP or GIF of one channel stores; None for what OpenCV reads as well, and faster.

    OpenCV looks palettes up, and stretches gray values of fewer than 8 bits over 0..255.
    """
    from PIL import BmpImagePlugin, GifImagePlugin, Image, PngImagePlugin, TiffImagePlugin

    # Not by Image.open, which warns of large images.
    readers: dict[str, Any] = {
        "PNG": PngImagePlugin.PngImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "GIF": GifImagePlugin.GifImageFile,
    }
    kind = image_kind(content)
    if kind not in readers or (kind == "PNG" and content[24:26] in _PLAIN_GRAY):
        return None
    try:
        with readers[kind](io.BytesIO(content)) as image:
            if len(image.getbands()) > 1:
                return None
            stretched = _stretch(content, kind, image)
            if kind == "PNG":
                # Decoding looks at no checksum.
                readers[kind](io.BytesIO(content)).verify()
            values = np.asarray(image)
            # Where white is 0, Pillow turns values of up to 8 bits round.
            turned = kind == "TIFF" and image.mode in ("1", "L") and image.tag_v2.get(_TIFF_PHOTOMETRIC) == 0
    except (*DAMAGES, Image.DecompressionBombError) as error:
        raise DataError(f"{failure}: the {kind} is damaged: {error}.") from error
    if values.dtype == np.bool_:
        return (values ^ turned).astype(np.uint8)
    values = 255 - values if turned else values
    return values // np.uint8(stretched) if stretched > 1 else values


def _plain_graymap(content: bytes, failure: str) -> NDArray[Any]:
    """A PGM in text, whose values OpenCV stretches over 0..255."""
    words = re.sub(rb"#[^\n]*", b"", content).split()
    try:
        width, height = int(words[1]), int(words[2])
        return np.array([int(word) for word in words[4:]]).reshape(height, width)
    except (ValueError, IndexError, OverflowError) as error:
        raise DataError(f"{failure}: the PGM is damaged: {error}.") from error


def _stretch(content: bytes, kind: str, image: Any) -> int:
    """By what Pillow multiplies gray values of fewer than 8 bits."""
    if image.mode != "L" or kind not in ("PNG", "TIFF"):
        return 1
    bits = content[24] if kind == "PNG" else image.tag_v2.get(_TIFF_BITS, (8,))[0]
    return 255 // ((1 << bits) - 1) if bits < 8 else 1


def _one_channel(values: NDArray[Any], failure: str, palette: Palette | None) -> NDArray[Any]:
    if values.ndim == 2:
        return values
    if values.shape[2] < 3:
        return values[:, :, 0]
    colours = values[:, :, 2::-1]
    if (colours == colours[:, :, :1]).all():
        return values[:, :, 0]
    if colours.dtype == np.uint16:
        colours = (colours >> 8).astype(np.uint8)
    if palette is None:
        raise ColourError(f"{failure}: {_refusal(colours)}")
    try:
        return palette.labels_of(colours)
    except DataError as error:
        raise DataError(f"{failure}: {error}") from error


def _refusal(colours: NDArray[Any]) -> str:
    known = next((name for name, palette in KNOWN.items() if palette().has_all(colours)), None)
    found = f"the colours of --palette {known}" if known else "colours"
    return (
        f"a label map holds a number for each pixel, in a gray image or one with indices into a palette. Received: "
        f"{found}. With --palette voc, cityscapes or a file of colours, segcaffe data check, show and import-folder, "
        "and segcaffe eval, read colours as labels; import-folder writes label maps that everything reads."
    )
