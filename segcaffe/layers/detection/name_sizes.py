"""Files of lines ``name height width``: the images of a test, one after the other."""

from __future__ import annotations

from typing import NamedTuple

from segcaffe.errors import DataError
from segcaffe.files.regular import read_bytes
from segcaffe.layers.base import Layer
from segcaffe.proto.caffe_pb2 import DetectionEvaluateParameter, ResizeParameter, SaveOutputParameter
from segcaffe.proto.encoding import to_native
from segcaffe.window import MOST_PIXELS


class NamedSize(NamedTuple):
    """An image's name, and its height and width in pixels."""

    name: str
    size: tuple[int, int]


def read_name_sizes(where: str, source: str) -> list[NamedSize]:
    """The images of a ``name_size_file``, at least one; DataError where it cannot be read or is none."""
    try:
        lines = [line.split() for line in _lines(source)]
        images = [NamedSize(" ".join(line[:-2]), (int(line[-2]), int(line[-1]))) for line in lines]
    except (OSError, ValueError, IndexError) as error:
        raise DataError(
            f'{where}: name_size_file "{source}" must be a readable file of lines "name height width". '
            f"Received: {error}."
        ) from error
    if not images or min(min(image.size) for image in images) < 1 or max(max(i.size) for i in images) > MOST_PIXELS:
        rule = f"must name images with sizes of at least 1, and {MOST_PIXELS} at most"
        raise DataError(f'{where}: name_size_file "{source}" {rule}.')
    return images


def resizing(layer: Layer, options: DetectionEvaluateParameter | SaveOutputParameter) -> ResizeParameter | None:
    """How the images were made the net's input, where the options say so; ShapeError for one without a size."""
    if not options.HasField("resize_param"):
        return None
    resize = options.resize_param
    if not resize.height or not resize.width:
        raise layer.fail("resize_param needs a height and a width above 0", f"{resize.height} x {resize.width}")
    return resize


def _lines(source: str) -> list[str]:
    text = read_bytes(to_native(source)).decode("utf-8", "surrogateescape")
    return [line for line in text.splitlines() if line.strip()]
