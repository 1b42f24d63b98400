"""MemoryData: arrays the program hands over."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segcaffe.errors import DataError
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.layers.source.base import SourceLayer
from segcaffe.proto.caffe_pb2 import LayerParameter


@register
class MemoryData(SourceLayer):
    """Batches of arrays given by `set_input_arrays`, again and again from the start.

    top: data (batch_size, channels, height, width) as in ``memory_data_param``, and labels (batch_size,). With ``dim``,
    one for each axis, data of that shape, and optionally labels (batch_size, 1, ...) of as many axes (Greentea). A
    ``transform_param`` tells what the program has done to its images, for whoever predicts with the net.
    """

    other_options = ("transform_param",)
    top_count = (1, 2)
    fork_options = frozenset({"MemoryDataParameter.dim"})

    @classmethod
    def image_shape(cls, param: LayerParameter) -> tuple[int, int, int]:
        """The arrays'."""
        options = param.memory_data_param
        return options.channels, options.height, options.width

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Shape the tops."""
        param = self.param.memory_data_param
        axes = (param.batch_size, param.channels, param.height, param.width)
        self.shape = tuple(param.dim) or axes
        if min(self.shape) < 1:
            raise self.fail("memory_data_param needs batch_size, channels, height and width, at least 1", self.shape)
        if len(top) == 1 and not param.dim:
            raise self.fail("needs 2 tops, data and labels; with dim, labels may be left out", "1 top")
        self.position = 0
        self._data: NDArray[Any] | None = None
        self._labels: NDArray[Any] | None = None
        top[0].reshape(*self.shape)
        for labels in top[1:]:
            labels.reshape(self.shape[0], *(1,) * (len(self.shape) - 1 if param.dim else 0))

    def set_input_arrays(self, data: NDArray[Any], labels: NDArray[Any]) -> None:
        """Take the arrays the next forwards read; they are not copied.

        Parameters
        ----------
        data:
            (n, channels, height, width), n a multiple of the batch size.
        labels:
            n numbers, of any shape.

        Raises
        ------
        DataError
            A shape does not fit.
        """
        data, labels = np.asarray(data), np.asarray(labels)
        if data.shape[1:] != self.shape[1:] or not data.ndim or len(data) == 0 or len(data) % self.shape[0]:
            raise DataError(
                f"{self.where}: the data must have the shape (n, {', '.join(map(str, self.shape[1:]))}), "
                f"n a multiple of the batch size {self.shape[0]}. Received: {data.shape}."
            )
        if labels.size != len(data):
            raise DataError(f"{self.where}: needs a label for each of {len(data)} items. Received: {labels.size}.")
        self._data, self._labels, self.position = data, labels.reshape(-1), 0

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the next batch into the tops."""
        if self._data is None or self._labels is None:
            raise DataError(f"{self.where}: has no data; call set_input_arrays before forward.")
        part = slice(self.position, self.position + self.shape[0])
        top[0].data[...] = self._data[part]
        for labels in top[1:]:
            labels.data[...] = self._labels[part].reshape(labels.shape)
        self.position = part.stop % len(self._data)

    def state(self) -> dict[str, Any]:
        """Number of the next row."""
        return {"row": self.position}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue at that row of the arrays, which must be set again first."""
        self.position = int(state["row"])
