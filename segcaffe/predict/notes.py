"""What a deploy file says about its images where Caffe's schema has no field: in comments of its own.

The lines ``# segcaffe.NAME: VALUE`` may stand anywhere in the file; every Caffe reads over them. Names are

- ``channel_order``: BGR (default) or RGB, the order of the channels that the net takes;
- ``class_names``: names separated by commas, or voc (also voc12 and the like): PASCAL VOC's 21; or cityscapes: its 19;
- ``palette``: a colour for each class, ``R G B`` separated by commas, or voc (default), or cityscapes.

``${NAME}`` templates in them are filled in; a line with one that has no value is passed over. Mean and scale need no
comment: they stand in the Input layer's ``transform_param``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segcaffe.data.palettes import cityscapes, voc_palette
from segcaffe.errors import PrototxtError
from segcaffe.proto.source import read_text
from segcaffe.text.digits import whole_number

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
CITYSCAPES_CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
_NOTE = re.compile(r"^[ \t]*#[ \t]*segcaffe\.(?P<name>\w+)[ \t]*:[ \t]*(?P<value>.*)$", re.MULTILINE)
_TEMPLATE = re.compile(r"\$\{(\w+)\}")
_NAMES = ("channel_order", "class_names", "palette")


@dataclass(frozen=True)
class Notes:
    """The comments' values.

    Attributes
    ----------
    rgb:
        Whether the net takes channels in the order R, G, B.
    class_names:
        One for each class; none if the file has none, or names a data set that is not known.
    palette:
        Colours R, G, B, at most 256 of them, shape (n, 3); None for PASCAL VOC's.
    """

    rgb: bool = False
    class_names: tuple[str, ...] = ()
    palette: NDArray[np.uint8] | None = None

    def colours(self) -> NDArray[np.uint8]:
        """Colours R, G, B of all labels (256, 3): the palette's, then PASCAL VOC's."""
        colours: NDArray[np.uint8] = voc_palette().copy()
        if self.palette is not None:
            colours[: len(self.palette)] = self.palette
        return colours


def read_notes(path: str | Path, variables: Mapping[str, str] | None = None) -> Notes:
    """Read the comments of a net's file; PrototxtError for a name or a value that cannot be."""
    return parse_notes(read_text(path), variables, str(path))


def parse_notes(text: str, variables: Mapping[str, str] | None = None, filename: str = "<string>") -> Notes:
    """Read the comments in the text of a net."""
    found = dict.fromkeys(_NAMES, "")
    line, counted = 1, 0
    for match in _NOTE.finditer(text):
        line, counted = line + text.count("\n", counted, match.start()), match.start()
        where = f"{filename}:{line}: # segcaffe.{match['name']}"
        if match["name"] not in found:
            raise PrototxtError(f"{where}: is none of the names there are: {', '.join(_NAMES)}.")
        written = match["value"].rstrip(" \t")
        value = _TEMPLATE.sub(lambda template: (variables or {}).get(template[1], template[0]), written)
        if not _TEMPLATE.search(value):
            found[match["name"]] = value
            _check(match["name"], value, where)
    return Notes(
        found["channel_order"].upper() == "RGB",
        _class_names(found["class_names"]),
        _palette(found["palette"]),
    )


def _check(name: str, value: str, where: str) -> None:
    if name == "channel_order" and value.upper() not in ("BGR", "RGB"):
        raise PrototxtError(f"{where}: is BGR or RGB. Received: {value}.")
    if name == "class_names" and not all(_class_names(value)):
        raise PrototxtError(f"{where}: is names separated by commas. Received: {value}.")
    if name == "palette" and value.lower() not in ("voc", "cityscapes"):
        colours = _colours(value)
        if not 1 <= len(colours) <= 256 or any(len(c) != 3 or not all(0 <= v <= 255 for v in c) for c in colours):
            raise PrototxtError(
                f"{where}: is voc, cityscapes, or at most 256 colours R G B, from 0 to 255, separated by commas. "
                f"Received: {value}."
            )


def _class_names(value: str) -> tuple[str, ...]:
    if "," not in value:
        known = {"voc": VOC_CLASSES, "cityscapes": CITYSCAPES_CLASSES}
        return next((names for name, names in known.items() if value.lower().startswith(name)), ())
    return tuple(name.strip() for name in value.split(","))


def _palette(value: str) -> NDArray[np.uint8] | None:
    if value.lower() in ("", "voc"):
        return None
    if value.lower() == "cityscapes":
        return cityscapes().colours[: len(CITYSCAPES_CLASSES)]
    return np.array(_colours(value), np.uint8)


def _colours(value: str) -> list[list[int]]:
    numbers = [[whole_number(word) for word in colour.split()] for colour in value.split(",")]
    return [[-1 if number is None else number for number in colour] for colour in numbers]
