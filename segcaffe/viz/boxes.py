"""Boxes with captions, drawn on a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.opencv import hold_threads

Array = NDArray[Any]
Picture = NDArray[np.uint8]
LEAST_SIDE = 480
"""Smaller pictures are enlarged, so that captions leave something to be seen."""
_FONT_SIZE, _MARGIN = 0.45, 3


def draw_boxes(image: Picture, boxes: Array, captions: Sequence[str], colours: Array) -> Picture:
    """A picture (H, W, 3), BGR, of an image (h, w, 1 or 3) and boxes; H is h, or a multiple where the image is small.

    Parameters
    ----------
    boxes:
        (K, 4) in pixels of the image, the most important first, which is drawn over the others.
    captions:
        One for each box. The font has ASCII only; other characters become question marks.
    colours:
        (K, 3), R, G, B.
    """
    import cv2

    hold_threads()
    factor = max(1, -(-LEAST_SIDE // max(image.shape[:2])))
    picture = np.broadcast_to(image, (*image.shape[:2], 3)) if image.shape[2] == 1 else image[:, :, :3]
    picture = picture.copy()
    if factor > 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    for i in reversed(range(len(boxes))):
        left, top, right, bottom = (round(float(value) * factor) for value in boxes[i])
        colour = tuple(int(value) for value in colours[i][::-1])
        cv2.rectangle(picture, (left, top), (right, bottom), colour, 2)
        _write(picture, captions[i], (left, top), colour)
    return np.asarray(picture, np.uint8)


def _write(picture: Picture, caption: str, corner: tuple[int, int], colour: tuple[int, ...]) -> None:
    """Put a caption above a corner, or below where there is no room above."""
    import cv2

    text = caption.encode("ascii", "replace").decode("ascii")
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _FONT_SIZE, 1)
    tall = height + below + _MARGIN
    left = max(0, min(corner[0], picture.shape[1] - width - _MARGIN))
    top = corner[1] - tall if corner[1] >= tall else corner[1]
    cv2.rectangle(picture, (left, top), (left + width + _MARGIN, top + tall), colour, -1)
    bright = sum(colour) > 3 * 128
    ink = (0, 0, 0) if bright else (255, 255, 255)
    place = (left + _MARGIN // 2, top + height + _MARGIN // 2)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, _FONT_SIZE, ink, 1, cv2.LINE_AA)
