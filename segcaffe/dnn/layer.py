"""What ``net.getLayer`` gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.dnn.engine import Engine
from segcaffe.dnn.entries import Entry
from segcaffe.dnn.errors import DnnError
from segcaffe.text.words import counted

Array = np.ndarray[Any, Any]


class Layer:
    """A layer of a net, with its parameters.

    Attributes
    ----------
    name, type:
        As OpenCV has them.
    """

    def __init__(self, engine: Engine, entry: Entry) -> None:
        self._engine, self._node = engine, entry.node
        self.name, self.type = entry.name, "" if entry.node < 0 else entry.type
        self.preferableTarget = 0

    @property
    def blobs(self) -> tuple[Array, ...]:
        """Copies of the parameters, of at least two axes as OpenCV has them; assigning a list of arrays sets them."""
        own = self._own
        return tuple(as_opencv(blob.data, bool(i) and self.type == "InnerProduct") for i, blob in enumerate(own))

    @blobs.setter
    def blobs(self, values: Sequence[Any]) -> None:
        if len(values) != len(self._own):
            raise DnnError(
                f'Layer "{self.name}" ({self.type}) has {counted(len(self._own), "blob")}. Received: {len(values)}.'
            )
        for index, value in enumerate(values):
            self.set_blob(index, value)

    def blob(self, index: int) -> Array:
        """A copy of one of the parameters."""
        blobs = self.blobs
        if not 0 <= index < len(blobs):
            raise DnnError(
                f'Layer "{self.name}" ({self.type}) has {counted(len(blobs), "blob")}. Received: number {index}.'
            )
        return blobs[index]

    def set_blob(self, index: int, value: Any) -> None:
        """Set one of the parameters: as many values as it has, in whatever shape."""
        old, new = self.blob(index), np.asarray(value, np.float32)
        if new.size != old.size:
            raise DnnError(
                f'Blob {index} of layer "{self.name}" ({self.type}) has {old.size} values, its shape is '
                f"{self._own[index].shape}. Received: {new.size} values, shape {new.shape}."
            )
        self._own[index].data[...] = new.reshape(self._own[index].shape)
        self._engine.note_given(self._engine.layer_list[self._node].name)

    @property
    def _own(self) -> Sequence[Any]:
        return () if self._node < 0 else self._engine.layer_list[self._node].blobs


def as_opencv(values: Array, row: bool = False) -> Array:
    """A copy with at least two axes: OpenCV's arrays of one are columns, or a ``row``."""
    if values.ndim < 2:
        return np.array(values).reshape((1, -1) if row else (-1, 1))
    return np.array(values)
