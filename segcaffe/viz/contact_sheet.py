"""Many small pictures on one sheet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.contents import Item
from segcaffe.data.opencv import hold_threads
from segcaffe.errors import DataError
from segcaffe.viz.embedding import label_colours

Picture = NDArray[np.uint8]

_BACKGROUND = 245
_CAPTION = 16
_GAP = 6


def contact_sheet(items: Iterable[Item | DataError], columns: int = 6, side: int = 160) -> Picture:
    """A sheet (H, W, 3), BGR, of images, each with its number or name and label below.

    Parameters
    ----------
    items:
        Images; those with a label map have it at their right, in PASCAL VOC's colours. An item that could not be read
        is a grey box.
    columns:
        Pictures in a row.
    side:
        Largest height and width of a picture.
    """
    tiles = [_tile(item, side) for item in items]
    if not tiles:
        raise DataError("show: there are no items in the range asked for.")
    height = max(tile.shape[0] for tile in tiles) + _GAP
    width = max(tile.shape[1] for tile in tiles) + _GAP
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * height + _GAP, min(columns, len(tiles)) * width + _GAP, 3), _BACKGROUND, np.uint8)
    for index, tile in enumerate(tiles):
        y, x = _GAP + index // columns * height, _GAP + index % columns * width
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet


def _tile(item: Item | DataError, side: int) -> Picture:
    if isinstance(item, DataError):
        return _captioned(np.full((side // 2, side, 3), 128, np.uint8), "cannot be read")
    pictures = [_fitted(_colour(item.image), side)]
    caption = item.name.rpartition("/")[2]
    if isinstance(item.label, int):
        caption += f": {item.label}"
    elif item.label is not None:
        pictures.append(_fitted(label_colours(item.label), side, nearest=True))
        pictures[-1] = pictures[-1][: len(pictures[0])]
    height = max(len(picture) for picture in pictures)
    return _captioned(np.hstack([_filled(picture, height) for picture in pictures]), caption)


def _colour(image: NDArray[Any]) -> Picture:
    """Any number of channels as three; values that are not bytes stretched to 0..255."""
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = (255 * (image - low) / max(high - low, 1e-12)).astype(np.uint8)
    channels = image.shape[2]
    return np.asarray(image[:, :, :3] if channels >= 3 else np.repeat(image[:, :, :1], 3, axis=2))


def _fitted(image: Picture, side: int, nearest: bool = False) -> Picture:
    import cv2

    hold_threads()
    scale = side / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    method = cv2.INTER_NEAREST if nearest or scale > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(np.ascontiguousarray(image), size, interpolation=method))


def _filled(image: Picture, height: int) -> Picture:
    return np.pad(image, ((0, height - len(image)), (0, 0), (0, 0)), constant_values=_BACKGROUND)


def _captioned(image: Picture, caption: str) -> Picture:
    import cv2

    hold_threads()
    strip = np.full((_CAPTION, image.shape[1], 3), _BACKGROUND, np.uint8)
    text = caption.encode("ascii", "replace").decode()
    cv2.putText(strip, text, (1, _CAPTION - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (40, 40, 40), 1, cv2.LINE_AA)
    return np.vstack([image, strip])
