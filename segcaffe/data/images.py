"""Reading images as 8-bit arrays (height, width, channels), colours in the order B, G, R."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.image_kinds import image_kind
from segcaffe.data.image_sizes import stated_size
from segcaffe.data.opencv import hold_threads
from segcaffe.device.host_memory import require
from segcaffe.errors import DataError
from segcaffe.files import regular
from segcaffe.files.disk import why_unreadable
from segcaffe.files.limits import Budget
from segcaffe.files.there import is_file
from segcaffe.window import MOST_PIXELS

Image = NDArray[np.uint8]

_LONGEST_PATH = 1024
"""Beyond it looking for what was meant takes longer than it is worth."""
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


def read_bytes(path: str, context: str) -> bytes:
    """The content of a file; DataError if it is missing, unreadable or empty."""
    try:
        content = regular.read_bytes(path)
    except OSError as error:
        hint = _missing_slash(path)
        reason = f"{error.strerror or error}.{hint}" if hint else why_unreadable(error, path)
        raise DataError(f'{context}: cannot read "{path}": {reason}') from error
    except ValueError as error:
        raise DataError(f'{context}: cannot read "{path}": {error}.') from error
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
    image = _decode(content, color, failure)
    if image.dtype != np.uint8:
        raise DataError(f"{failure}: images must have 8 bits a channel. Received: {image.dtype}.")
    return _with_channels(image)


def decode_as_stored(content: bytes, failure: str) -> NDArray[Any]:
    """An encoded image of any depth: (H, W) if gray, else (H, W, 3 or 4), B, G, R and perhaps alpha."""
    return _decode(content, None, failure)


def _decode(content: bytes, color: bool | None, failure: str) -> NDArray[Any]:
    import cv2

    hold_threads()
    if not content:
        raise DataError(f"{failure}: there are no bytes to read.")
    if is_cut_jpeg(content):
        raise DataError(f"{failure}: the JPEG is cut off.")
    check_pixels(content, failure, 3 if color else 1)
    flag = {True: cv2.IMREAD_COLOR, False: cv2.IMREAD_GRAYSCALE, None: cv2.IMREAD_UNCHANGED}[color]
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flag)
    except cv2.error as error:
        raise DataError(f"{failure}: {error.err}.") from error
    if image is None:
        kind = image_kind(content)
        if not kind:
            raise DataError(f"{failure}: it is not an image, or is damaged.")
        raise DataError(
            f"{failure}: this {kind} image is damaged, or OpenCV cannot decode it; then convert it to PNG or JPEG."
        )
    return np.asarray(image)


def check_pixels(content: bytes, failure: str, least: int = 1) -> None:
    """LimitError where an encoded image has more pixels than its bytes allow.

    ``least`` is the number of bytes that a pixel becomes, if not more. ``failure`` begins the sentence.
    """
    size = stated_size(content)
    if size is not None:
        pixels = size.height * size.width
        Budget(failure, len(content)).take(pixels * max(least, size.bytes), f"{size.height} x {size.width} pixels")


def resize(image: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """The image at another size, bilinear; itself where ``height`` or ``width`` is 0."""
    import cv2

    return _resized(image, height, width, cv2.INTER_LINEAR)


def resize_nearest(labels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """The label map at another size, each pixel that of the nearest; itself where ``height`` or ``width`` is 0."""
    import cv2

    return _resized(labels, height, width, cv2.INTER_NEAREST)


def resize_averaging(image: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """The image made smaller: each pixel the mean of the area it covers; itself where a size is 0."""
    import cv2

    return _resized(image, height, width, cv2.INTER_AREA)


def _resized(image: NDArray[Any], height: int, width: int, interpolation: int) -> NDArray[Any]:
    import cv2

    hold_threads()
    if height == 0 or width == 0 or image.shape[:2] == (height, width):
        return image
    if max(height, width) > MOST_PIXELS:
        raise DataError(f"an image cannot be resized to {height} x {width}: a side is {MOST_PIXELS} pixels at most.")
    require(height * width * image[:1, :1].nbytes)
    try:
        return _with_channels(cv2.resize(image, (width, height), interpolation=interpolation))
    except cv2.error as error:
        raise DataError(f"an image cannot be resized to {height} x {width} (height x width): {error.err}.") from error


def _with_channels(image: NDArray[Any]) -> NDArray[Any]:
    return image[:, :, None] if image.ndim == 2 else image


def _missing_slash(path: str) -> str:
    """A hint where the file would be found with a slash between folder and name, which is not inserted."""
    for cut in range(1, len(path) if len(path) <= _LONGEST_PATH else 0):
        if is_file(Path(path[:cut], path[cut:].lstrip("/"))):
            return f' "{path[:cut]}/{path[cut:]}" exists: end root_folder with a slash; nothing is put in between.'
    return ""
