"""An image with boxes, and what becomes of the boxes where a part of it is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from segcaffe.data.datum import datum_array, datum_image
from segcaffe.data.loader import Rows
from segcaffe.detection.boxes import areas
from segcaffe.detection.ground_truth import ROW
from segcaffe.errors import DataError
from segcaffe.proto import caffe_pb2

Array = np.ndarray[Any, Any]
WHOLE = np.array([0.0, 0.0, 1.0, 1.0])


@dataclass(frozen=True)
class Boxed:
    """An image and its boxes.

    Attributes
    ----------
    image:
        (H, W, C).
    facts:
        (G, 3) of label, instance and whether it is difficult.
    boxes:
        (G, 4), in parts of the image.
    """

    image: Array
    facts: Array
    boxes: Array

    def part(self, image: Array, part: Array, keep: Array | None = None) -> Boxed:
        """``image``, which shows this part (xmin, ymin, xmax, ymax) of this one, with the boxes that reach into it.

        A part may reach beyond the image. Of the boxes what lies inside stays; ``keep`` (G,) tells of each whether it
        may stay at all.
        """
        size = np.tile(part[2:] - part[:2], 2)
        boxes = ((self.boxes - np.tile(part[:2], 2)) / size).clip(0, 1)
        stays = areas(boxes) > 0
        stays &= True if keep is None else keep
        return Boxed(image, self.facts[stays], boxes[stays])

    def with_image(self, image: Array) -> Boxed:
        """Another image of the same things."""
        return replace(self, image=image)

    def mirrored(self) -> Array:
        """The boxes as they lie in the image mirrored left to right."""
        boxes = self.boxes.copy()
        boxes[:, 0], boxes[:, 2] = 1 - self.boxes[:, 2], 1 - self.boxes[:, 0]
        return np.asarray(boxes)


def read_boxed(content: bytes, color: bool | None, where: str) -> Boxed:
    """The image and the boxes of an AnnotatedDatum.

    Parameters
    ----------
    content:
        The message.
    color:
        As of `datum_image`.

    Raises
    ------
    DataError
        It is no such message, its image can't be decoded, or a box is not a number.
    """
    try:
        message = caffe_pb2.AnnotatedDatum.FromString(content)
    except DecodeError as error:
        raise DataError(f"{where}: a value of the database is not an AnnotatedDatum message.") from error
    if not message.HasField("datum"):
        raise DataError(
            f"{where}: an AnnotatedDatum must hold a datum, the image. Received: none; a database of plain Datums is "
            "read by the layer type Data."
        )
    datum = message.datum
    image = datum_image(datum, color, where) if datum.encoded else datum_array(datum, where).transpose(1, 2, 0)
    marks = [(group.group_label, mark) for group in message.annotation_group for mark in group.annotation]
    facts = [(label, mark.instance_id, mark.bbox.difficult) for label, mark in marks]
    boxes = [(mark.bbox.xmin, mark.bbox.ymin, mark.bbox.xmax, mark.bbox.ymax) for _, mark in marks]
    found = Boxed(image, np.array(facts, np.float64).reshape(-1, 3), np.array(boxes, np.float64).reshape(-1, 4))
    if not np.isfinite(found.boxes).all():
        raise DataError(f"{where}: the corners of a box must be numbers. Received: {found.boxes.tolist()}.")
    return found


class BoxRows(Rows):
    """The boxes of an item; those of a batch become one array (1, 1, G, 8), as MultiBoxLoss reads it.

    Each row is item, label, instance, xmin, ymin, xmax, ymax, difficult; where no item has a box there is one row of
    -1.
    """

    def __init__(self, facts: Array, boxes: Array, dtype: Any) -> None:
        self.rows = np.empty((len(boxes), ROW), dtype)
        self.rows[:, 1:3], self.rows[:, 3:7], self.rows[:, 7] = facts[:, :2], boxes, facts[:, 2]

    @staticmethod
    def join(parts: Sequence[Rows]) -> Array:
        """See the class."""
        rows = [part.rows for part in parts if isinstance(part, BoxRows)]
        for item, own in enumerate(rows):
            own[:, 0] = item
        joined = np.concatenate(rows)
        if not len(joined):
            joined = np.full((1, ROW), -1, joined.dtype)
        return joined.reshape(1, 1, -1, ROW)
