"""Colours that stand for labels: PASCAL VOC's, Cityscapes', or those of a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.lists import Entry, read_list
from segcaffe.errors import DataError
from segcaffe.text.digits import whole_number

_VOID = 255
_CITYSCAPES = (
    (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153), (250, 170, 30),
    (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142),
    (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
)  # fmt: skip
"""Colours of the 19 classes of the benchmark, in the order of their train ids."""
_CITYSCAPES_VOID = (
    (0, 0, 0), (111, 74, 0), (81, 0, 81), (250, 170, 160), (230, 150, 140), (180, 165, 180), (150, 100, 100),
    (150, 120, 90), (0, 0, 90), (0, 0, 110),
)  # fmt: skip


@dataclass(frozen=True)
class Palette:
    """Labels by colour.

    Attributes
    ----------
    name:
        For messages.
    colours:
        (n, 3), R, G, B, all different.
    labels:
        (n,), the label of each.
    """

    name: str
    colours: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def labels_of(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The labels (H, W) of an image (H, W, 3), R, G, B.

        Raises
        ------
        DataError
            A colour is not in the palette; the text begins with its pixel.
        """
        keys, wanted = _packed(self.colours), _packed(image)
        order = np.argsort(keys)
        places = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)]
        unknown = keys[places] != wanted
        if unknown.any():
            y, x = np.argwhere(unknown)[0]
            raise DataError(
                f"row {y}, column {x} has the colour {tuple(image[y, x].tolist())}, which the palette {self.name} does "
                f"not have; so have {int(unknown.sum())} of {unknown.size} pixels."
            )
        return np.asarray(self.labels[places])

    def has_all(self, image: NDArray[np.uint8]) -> bool:
        """Whether every colour of an image (H, W, 3) is in the palette."""
        return bool(np.isin(_packed(image), _packed(self.colours)).all())


def voc_palette() -> NDArray[np.uint8]:
    """PASCAL VOC's 256 RGB colours (256, 3): the bits of the label spread over the channels' high bits."""
    labels = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((labels >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    palette[255] = (224, 224, 192)
    return palette


def voc() -> Palette:
    """PASCAL VOC's colours; 255 is void."""
    return Palette("voc", voc_palette(), np.arange(256, dtype=np.uint8))


def cityscapes() -> Palette:
    """The colours of Cityscapes' ``*_color.png``, as train ids: 19 classes, 255 for all others."""
    colours = np.array(_CITYSCAPES + _CITYSCAPES_VOID, np.uint8)
    labels = [*range(len(_CITYSCAPES)), *[_VOID] * len(_CITYSCAPES_VOID)]
    return Palette("cityscapes", colours, np.array(labels, np.uint8))


KNOWN = {"voc": voc, "cityscapes": cityscapes}


def read_palette(name: str) -> Palette:
    """The palette ``voc`` or ``cityscapes``, or that of a file.

    A line of the file holds R, G and B, 0 to 255, with spaces or commas between them; behind them may stand the label,
    otherwise it is the number of the colour in the file, from 0. A name may stand before or behind. A first line
    without numbers is a heading; lines that begin with # do not count.

    Raises
    ------
    DataError
        The file is missing, a line is not of that form, or a colour occurs twice.
    """
    if name.lower() in KNOWN:
        return KNOWN[name.lower()]()
    entries = [entry for entry in read_list(name, "--palette", "the file of colours") if entry.text[0] != "#"]
    if entries and not re.search(r"\d", entries[0].text):
        entries = entries[1:]
    if not entries:
        raise DataError(f'--palette: "{name}" has no colours; write R G B, and perhaps the label, in each line.')
    labels: dict[tuple[int, ...], int] = {}
    for number, entry in enumerate(entries):
        colour, label = _colour(entry, number)
        if labels.setdefault(colour, label) != label:
            raise DataError(f"--palette: {entry.place}: the colour {colour} has the label {labels[colour]} already.")
    return Palette(f'"{name}"', np.array(list(labels), np.uint8), np.array(list(labels.values()), np.uint8))


def _colour(entry: Entry, number: int) -> tuple[tuple[int, ...], int]:
    words = [word for word in re.split(r"[\s,;]+", entry.text) if word]
    numbers = [whole_number(word) for word in words]
    first = next((i for i in range(len(words) - 2) if None not in numbers[i : i + 3]), None)
    if first is not None:
        values = [value for value in numbers[first : first + 4] if value is not None]
        values += [number] * (4 - len(values))
        if max(values) <= 255:
            return tuple(values[:3]), values[3]
    raise DataError(
        f"--palette: {entry.place}: a line must hold R G B and perhaps the label, integers 0 to 255. "
        f'Received: "{entry.text}".'
    )


def _packed(colours: NDArray[np.uint8]) -> NDArray[Any]:
    """Each colour as one number."""
    parts = colours.astype(np.uint32)
    return np.asarray(parts[..., 0] << 16 | parts[..., 1] << 8 | parts[..., 2])
