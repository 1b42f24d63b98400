"""Names of labels, as SSD's ``labelmap.prototxt`` has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from segcaffe.errors import DataError, PrototxtError
from segcaffe.proto.caffe_pb2 import LabelMap
from segcaffe.proto.encoding import to_native
from segcaffe.proto.text import read
from segcaffe.text.digits import whole_number


def read_label_map(path: str | Path, where: str) -> dict[str, int]:
    """The label of each name.

    Raises
    ------
    DataError
        The file cannot be read, or gives a name or a label twice.
    """
    try:
        message = read(path, LabelMap)
    except PrototxtError as error:
        raise DataError(f"{where}: the label map cannot be used. {error}") from error
    labels: dict[str, int] = {}
    numbers: set[int] = set()
    for item in message.item:
        name = to_native(item.name)
        if name in labels or item.label in numbers:
            raise DataError(
                f'{where}: label map "{path}" must give each name and each label once. '
                f'Received: "{name}", {item.label} again.'
            )
        labels[name] = item.label
        numbers.add(item.label)
    if not labels:
        raise DataError(f'{where}: label map "{path}" names no label. Write: item {{ name: "dog" label: 1 }}.')
    return labels


def display_names(path: str | Path, where: str) -> dict[int, str]:
    """What a label is called in pictures: its display_name, or its name."""
    names = {label: name for name, label in read_label_map(path, where).items()}
    shown = {item.label: to_native(item.display_name) for item in read(path, LabelMap).item if item.display_name}
    return names | shown


def label_map_text(labels: Mapping[str, int]) -> str:
    """The file for these labels."""
    return "".join(
        f'item {{ name: "{name}" label: {label} display_name: "{name}" }}\n' for name, label in labels.items()
    )


class Category(NamedTuple):
    """What a label stands for: its number in files of results, its name in annotations, and in pictures."""

    id: int
    name: str
    shown: str


def categories(path: str | Path, where: str) -> dict[int, Category]:
    """The category of each label.

    Its number is the label, or, where all names but the background's are whole numbers, as in SSD's map for COCO, the
    name.
    """
    names = {label: name for name, label in read_label_map(path, where).items()}
    numbers = {label: whole_number(name) for label, name in names.items()}
    by_name = all(number is not None for label, number in numbers.items() if label)
    shown = display_names(path, where)
    return {
        label: Category(number if by_name and number is not None else label, names[label], shown[label])
        for label, number in numbers.items()
    }
