"""Reading images and label maps as 8-bit arrays (height, width, channels), colours in the order B, G, R."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.opencv import hold_threads
from segcaffe.errors import DataError

Image = NDArray[np.uint8]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Names of files in a folder that are taken for images."""

_PNG = b"\x89PNG\r\n\x1a\n"
_GRAY, _PALETTE = 0, 3
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


def read_image(path: str, color: bool, context: str) -> Image:
    """An image file as 8-bit BGR, or as its luminance.

    Parameters
    ----------
    path:
        Any format OpenCV reads.
    color:
        Three channels (a gray image is repeated) or one.
    context:
        How messages start: layer, list file and line.

    Returns
    -------
    array
        (H, W, 3) or (H, W, 1).

    Raises
    ------
    DataError
        The file is missing, empty, or no image.
    """
    return decode(read_bytes(path, context), color, f'{context}: cannot read "{path}"')


def read_label(path: str, color: bool, context: str) -> Image:
    """A label map: the values stored in an 8-bit gray image, or the indices of a palette PNG.

    With ``color`` it is read as any image. Parameters and errors are those of `read_image`.
    """
    content = read_bytes(path, context)
    failure = f'{context}: cannot read "{path}"'
    depth = 0 if color else _palette_depth(content)
    if not depth:
        return decode(content, color, failure)
    # OpenCV would look the colours up; told that the indices are gray levels it leaves them alone, except that it
    # stretches those of fewer than 8 bits over 0..255.
    stretched = decode(_palette_to_gray(content, failure), False, failure)
    indices: Image = stretched // np.uint8(255 // ((1 << depth) - 1))
    return indices


def read_bytes(path: str, context: str) -> bytes:
    """The content of a file; DataError if it is missing, unreadable or empty."""
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f'{context}: cannot read "{path}": {reason}.{_missing_slash(path)}') from error
    if not content:
        raise DataError(f'{context}: cannot read "{path}": the file is empty.')
    return content


def is_cut_jpeg(content: bytes) -> bool:
    """Whether the end of a JPEG is missing; OpenCV 4 would fill up what is missing with gray."""
    return content[:3] == _JPEG and content.rfind(_JPEG_END) < 0


def decode(content: bytes, color: bool | None, failure: str) -> Image:
    """An encoded image as BGR (``color`` true), gray (false), or as stored (None).

    ``failure`` is the first half of the sentence for content that is no image.
    """
    import cv2

    hold_threads()
    if is_cut_jpeg(content):
        raise DataError(f"{failure}: the JPEG is cut off.")
    flag = {True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE, None: cv2.IMREAD_UNCHANGED}[color]
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    except cv2.error as error:
        raise DataError(f"{failure}: {error.err}.") from error
    if image is None:
        raise DataError(f"{failure}: it is not an image OpenCV can decode, or is damaged.")
    if image.dtype != np.uint8:
        raise DataError(f"{failure}: images must have 8 bits a channel. Received: {image.dtype}.")
    return _with_channels(image)


def resize(image: Image, height: int, width: int) -> Image:
    """The image at another size, bilinear; itself where ``height`` or ``width`` is 0."""
    import cv2

    hold_threads()
    if height == 0 or width == 0 or image.shape[:2] == (height, width):
        return image
    return _with_channels(cv2.resize(image, (width, height)))


def _with_channels(image: NDArray[Any]) -> Image:
    return image[:, :, None] if image.ndim == 2 else image


def _missing_slash(path: str) -> str:
    """A hint where the file would be found with a slash between folder and name, which nobody inserts."""
    for cut in range(1, len(path)):
        if Path(path[:cut], path[cut:].lstrip("/")).is_file():
            return f' "{path[:cut]}/{path[cut:]}" exists: end root_folder with a slash; nothing is put in between.'
    return ""


def _palette_depth(content: bytes) -> int:
    """Bits an index has in a palette PNG; 0 for anything else."""
    if content[:8] != _PNG or len(content) < 29 or content[25] != _PALETTE:
        return 0
    return content[24]


def _palette_to_gray(content: bytes, failure: str) -> bytes:
    """The same PNG, declared gray and without everything that only matters to colours."""
    parts = [_PNG]
    for kind, data in _chunks(content, failure):
        if kind == b"IHDR":
            data = data[:9] + bytes([_GRAY]) + data[10:]
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            parts.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return b"".join(parts)


def _chunks(content: bytes, failure: str) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        kind, data, check = content[at + 4 : at + 8], content[at + 8 : at + 8 + length], content[at + 8 + length :][:4]
        if check != struct.pack(">I", zlib.crc32(kind + data)):
            raise DataError(f"{failure}: the PNG is damaged at byte {at}.")
        yield kind, data
        at += 12 + length
