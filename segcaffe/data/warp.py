"""Cutting a window out of an image and warping it to a square."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from segcaffe.data.images import Image, resize
from segcaffe.data.windows import Window
from segcaffe.errors import DataError


@dataclass(frozen=True, slots=True)
class Warped:
    """What of a window lies in the image, at the size it has in the square, and where it belongs there."""

    pixels: Image
    top: int
    left: int


def warp(image: Image, window: Window, size: int, context: int, square: bool, mirror: bool, where: str) -> Warped:
    """The window of an image (H, W, C), resized to ``size`` x ``size``.

    Parameters
    ----------
    image, window:
        The image and the rectangle.
    size:
        Side of the square.
    context:
        Pixels of the square, at each side, that show what surrounds the window.
    square:
        Widen the window to a square first, so that it is not distorted.
    mirror:
        Flip left to right.
    where:
        How messages name the layer.

    Parts of the window outside the image are left out of the result.
    """
    x = (window.x1, window.x2)
    y = (window.y1, window.y2)
    if x[0] > x[1] or y[0] > y[1]:
        received = f"{x[0]} {y[0]} {x[1]} {y[1]}"
        raise DataError(
            f"{where}: {window.place}: the corners x1 y1 x2 y2 of a window must not cross. Received: {received}."
        )
    before = (0, 0)
    target = (size, size)
    if context > 0 or square:
        # float32, as in the original: it decides which way halves are rounded
        half = [np.float32(b - a + 1) / np.float32(2) for a, b in (x, y)]
        centre = [np.float32(x[0]) + half[0], np.float32(y[0]) + half[1]]
        half = [max(half)] * 2 if square else half
        scale = np.float32(size) / np.float32(size - 2 * context)
        spans = [_span(centre[i], half[i] * scale, image.shape[1 - i], size, flip=mirror and i == 0) for i in (0, 1)]
        (x, left, width), (y, top, height) = spans
        before, target = (top, left), (height, width)
    part = image[y[0] : y[1] + 1, x[0] : x[1] + 1]
    if min(x[0], y[0]) < 0 or part.shape[:2] != (y[1] - y[0] + 1, x[1] - x[0] + 1) or min(*target, *part.shape) < 1:
        raise DataError(
            f'{where}: {window.place}: the window must lie inside the image "{window.image}", which has '
            f"{image.shape[0]} rows and {image.shape[1]} columns."
        )
    pixels = resize(part, *target)
    return Warped(np.ascontiguousarray(pixels[:, ::-1]) if mirror else pixels, *before)


def _span(centre: np.float32, half: np.float32, extent: int, size: int, flip: bool) -> tuple[tuple[int, int], int, int]:
    """Along one axis: first and last pixel inside the image, their offset in the square, and their length there."""
    first, last = _round(centre - half), _round(centre + half)
    scale = np.float32(size) / np.float32(last - first + 1)
    outside = max(0, -first), max(0, last - extent + 1)
    first, last = first + outside[0], last - outside[1]
    length = _round(np.float32(last - first + 1) * scale)
    offset = _round(np.float32(outside[1 if flip else 0]) * scale)
    return (first, last), offset, min(length, size - offset)


def _round(value: np.float32) -> int:
    """To the nearest integer, halves away from zero."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))
