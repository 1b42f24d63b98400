"""Boxes of an image from a file of their own: PASCAL VOC's XML, COCO-like JSON, or lines of text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from segcaffe.errors import DataError
from segcaffe.text.digits import whole_number


@dataclass(frozen=True)
class Mark:
    """One box: its label and, in pixels of the image, xmin, ymin, xmax, ymax; whether it is difficult."""

    label: int
    box: tuple[float, float, float, float]
    difficult: bool = False


Size = tuple[float, float]
"""Height and width in pixels."""


def read_xml(content: bytes, labels: Mapping[str, int], context: str) -> tuple[Size | None, list[Mark]]:
    """The size that a VOC annotation gives for its image, where it does, and its boxes."""
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise DataError(f"{context}: an annotation in XML must not declare types or entities. Remove the DOCTYPE.")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{context}: the annotation is no XML: {error}.") from error
    marks = []
    for item in root.iter("object"):
        name = (item.findtext("name") or "").strip()
        if name not in labels:
            raise DataError(f'{context}: "{name}" is no name of the label map. It has: {_some(labels)}.')
        corner = item.find("bndbox")
        if corner is None:
            raise DataError(f'{context}: an object needs a bndbox. Received: none, for "{name}".')
        left, top, right, bottom = (_number(corner.findtext(key), key, context) for key in _CORNERS)
        marks.append(Mark(labels[name], (left, top, right, bottom), (item.findtext("difficult") or "0").strip() == "1"))
    height, width = (_number(root.findtext(f"size/{key}") or "0", key, context) for key in ("height", "width"))
    return ((height, width) if min(height, width) > 0 else None), marks


def read_json(content: bytes, labels: Mapping[str, int], context: str) -> tuple[Size | None, list[Mark]]:
    """As SSD writes it for COCO: ``image`` with its size, ``annotation`` with ``bbox`` x, y, w, h and category_id.

    Categories are names of the label map, so the number 18 is named "18"; crowds are difficult.
    """
    try:
        found = json.loads(content)
        image, marks = found.get("image", {}), []
        for mark in found["annotation"]:
            name = str(mark["category_id"])
            if name not in labels:
                raise DataError(f'{context}: "{name}" is no name of the label map. It has: {_some(labels)}.')
            left, top, width, height = (_number(str(value), "bbox", context) for value in mark["bbox"])
            box = (left, top, left + width, top + height)
            marks.append(Mark(labels[name], box, bool(mark.get("iscrowd", 0))))
        height, width = (_number(str(image.get(key, 0)), key, context) for key in ("height", "width"))
    except DataError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(
            f'{context}: an annotation in JSON must be {{"image": {{"height", "width"}}, "annotation": [{{"bbox": '
            f'[x, y, width, height], "category_id"}}]}}. Received something else: {error!r}.'
        ) from error
    return ((height, width) if min(height, width) > 0 else None), marks


def read_text(content: bytes, labels: Mapping[str, int], context: str) -> tuple[Size | None, list[Mark]]:
    """Lines ``label xmin ymin xmax ymax`` with the number of the label."""
    marks = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        label = whole_number(words[0])
        if len(words) != 5 or label is None or label not in labels.values():
            raise DataError(
                f'{context}: line {number} must be "label xmin ymin xmax ymax", with a label of the label map. '
                f'Received: "{line.strip()[:80]}".'
            )
        left, top, right, bottom = (
            _number(word, name, context) for word, name in zip(words[1:], _CORNERS, strict=True)
        )
        marks.append(Mark(label, (left, top, right, bottom)))
    return None, marks


Reader = Callable[[bytes, Mapping[str, int], str], tuple[Size | None, list[Mark]]]
READERS: Mapping[str, Reader] = {".xml": read_xml, ".json": read_json, ".txt": read_text}
"""By the suffix of the file."""
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _number(text: str | None, what: str, context: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e9:
        raise DataError(f'{context}: {what} must be a number of pixels. Received: "{(text or "")[:40]}".')
    return value


def _some(labels: Mapping[str, Any]) -> str:
    return ", ".join([*labels][:12]) + (", ..." if len(labels) > 12 else "")
