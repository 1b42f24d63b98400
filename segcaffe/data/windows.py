"""Window files: images with labelled rectangles, for detectors (R-CNN)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from segcaffe.data.lists import Entry, read_list
from segcaffe.errors import DataError
from segcaffe.text.digits import signed_number

_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of an image: columns x1 to x2 and rows y1 to y2, both ends included."""

    image: str
    label: int
    overlap: float
    x1: int
    y1: int
    x2: int
    y2: int
    place: str


def read_windows(path: str, where: str) -> tuple[list[Window], int]:
    """The windows of a file, and the number of channels of its images.

    For each image the file has ``# index``, the image's name, channels, height, width, the number of windows, and a
    line ``label overlap x1 y1 x2 y2`` for each.

    Raises
    ------
    DataError
        The file is missing or not of that form.
    """
    lines = iter(read_list(path, where))
    windows: list[Window] = []
    channels = set()
    for line in lines:
        if not line.text.startswith("#"):
            raise DataError(f'{where}: {line.place}: an image must start with "# index". Received: "{line.text}".')
        try:
            name = next(lines).text
            channels.add(_number(next(lines).text))
            _height, _width = _number(next(lines).text), _number(next(lines).text)
            windows.extend(_windows(lines, name, _number(next(lines).text)))
        except (StopIteration, ValueError) as error:
            raise DataError(
                f"{where}: {line.place}: an image needs its name, channels, height, width and number of windows, one "
                "a line, then as many lines: label overlap x1 y1 x2 y2."
            ) from error
    if len(channels) != 1 or not channels <= {1, 3}:
        raise DataError(
            f'{where}: the images of "{path}" must all have 3 channels, or 1. Received: {sorted(channels)}.'
        )
    return windows, channels.pop()


def _windows(lines: Iterator[Entry], image: str, count: int) -> list[Window]:
    found = []
    for _ in range(count):
        line = next(lines)
        label, overlap, *corners = line.words
        x1, y1, x2, y2 = (_number(corner) for corner in corners)
        found.append(Window(image, _number(label), float(overlap), x1, y1, x2, y2, line.place))
    return found


def _number(text: str) -> int:
    """The whole number of a text; ValueError for another text, and for a number that no pixel or class has."""
    number = signed_number(text)
    if number is None or abs(number) > _MOST:
        raise ValueError(f"{text[:40]} is no whole number up to {_MOST}")
    return number
