"""BoxData: a database of images with boxes, as YOLO's Caffe has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.data.database import Value
from segcaffe.data.datum import datum_image, parse_datum
from segcaffe.data.loader import Parts, Random
from segcaffe.data.resizing import stretched
from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.source.prefetching import DatabaseSource
from segcaffe.proto.caffe_pb2 import ResizeParameter

Array = np.ndarray[Any, Any]
_ROW = 6
"""Numbers of a box in a Datum: class, difficult, and centre, width and height in parts of the image."""
_GRIDS = 13
"""The least number of cells on a side of a YOLO v2, which reads rows; YOLO v1's grids have 7 or 9."""
_MOST, _CELL = 30, 7
"""Boxes that a YOLO v2 reads, and numbers that a YOLO v1 reads of each cell."""
_ATTEMPTS = 100


@register
class BoxData(DatabaseSource):
    """Datum messages of encoded images whose ``float_data`` are boxes: class, difficult, x, y, width and height.

    tops: data (N, C, H, W); for each ``side`` of data_param true boxes. Of a YOLO v2 (side 13 or more, or none told)
    those are (N, 150): class, x, y, width and height of up to 30 boxes, zeros behind. Of a YOLO v1 they are (N, 7
    side²), as EvalDetection and DetectionLoss read them: for each cell whether it is difficult, whether it has an
    object, its class or -1, and then x, y, width and height.

    In TRAIN a part of the image, of 71 to 100 percent of both sides, is cut out and stretched to the image's size;
    boxes whose centre lies outside of it fall away. They are mirrored with their image.
    """

    top_count = (1, None)
    options_field = "data_param"
    other_options = ("transform_param",)
    fork_options = DatabaseSource.fork_options | {"DataParameter.side"}

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the sides, open the database and read the first item."""
        transform = self.param.transform_param
        self.sides = list(self.param.data_param.side) or [_GRIDS]
        for side in self.sides:
            self.check_range("data_param.side", side, 1, 1 << 10)
        if len(top) > 1 and len(top) != len(self.sides) + 1:
            raise self.fail("needs a top for each side of data_param, and one before them", f"{len(top)} tops")
        if transform.crop_size or transform.crop_h or transform.crop_height:
            raise self.fail("boxes do not go along with a crop; remove crop_size from transform_param")
        super().setup(bottom, top)

    def load(self, item: Value, random: Random) -> Parts:
        """The image (C, H, W) and its boxes for each grid."""
        datum = parse_datum(bytes(item.content), self.where)
        boxes = np.array(datum.float_data, np.float64)
        if not datum.encoded or boxes.size % _ROW or not np.isfinite(boxes).all() or (boxes[::_ROW] < 0).any():
            raise DataError(
                f"{self.where}: {item.place}: a Datum must be an encoded image whose float_data are rows of class, "
                f"difficult, x, y, width and height. Received: {boxes.size} numbers{'' if datum.encoded else ', raw'}."
            )
        image, boxes = datum_image(datum, self.color, self.where), boxes.reshape(-1, _ROW)
        if self.training and len(boxes):
            image, boxes = _part(image, boxes, random)
        view = self.transformer.view(image, random)
        if view.mirror:
            boxes = boxes.copy()
            boxes[:, 2] = 1 - boxes[:, 2]
        return self.transformer.values(image, view), *(self._labels(boxes, side) for side in self.sides)

    def _labels(self, boxes: Array, side: int) -> Array:
        """The boxes as the layers of a grid read them."""
        if side >= _GRIDS:
            rows = np.zeros((_MOST, 5), self.dtype)
            some = boxes[:_MOST]
            rows[: len(some), 0], rows[: len(some), 1:] = some[:, 0], some[:, 2:]
            return rows.reshape(-1)
        cells = np.zeros((_CELL, side * side), self.dtype)
        cells[2] = -1
        corners = cells[3:].reshape(side * side, 4)
        column, row = (np.clip(np.floor(boxes[:, 2 + i] * side).astype(int), 0, side - 1) for i in (0, 1))
        # Of boxes with one cell the last counts.
        for own, place in zip(boxes, row * side + column, strict=True):
            cells[:3, place] = own[1], 1, own[0]
            corners[place] = own[2:]
        return cells.reshape(-1)


def _part(image: Array, boxes: Array, random: Random) -> tuple[Array, Array]:
    """A part of an image that has a box, at the image's size, and its boxes; all of it where none is found."""
    height, width = image.shape[:2]
    size = np.array([width, height])
    centers, extents = ((boxes[:, i : i + 2] * size).astype(int) for i in (2, 4))
    for _ in range(_ATTEMPTS):
        scale = 1 - int(random.integers(30)) / 100
        extent = np.maximum((size * scale).astype(int) - 1, 1)
        start = np.array([int(random.integers(free)) for free in np.maximum(size - extent, 1)])
        inside = ((centers >= start) & (centers < start + extent)).all(axis=1)
        if not inside.any():
            continue
        seen = boxes[inside].copy()
        seen[:, 2:4], seen[:, 4:6] = (centers[inside] - start) / extent, extents[inside] / extent
        part = image[start[1] : start[1] + extent[1], start[0] : start[0] + extent[0]]
        return stretched(part, (height, width), ResizeParameter(), random), seen
    return image, boxes
