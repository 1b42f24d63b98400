"""Blobs whose channels lie in blocks between layers that ask for that: (N, C / lanes, H, W, lanes).

A vector holds the channels of a block at one pixel, so that kernels load, compute and store whole vectors, wherever an
image's rows end. `segcaffe.fusion.blocked` says which blobs may lie so. It is the same memory; whoever asks for the
values in another way than by `read_blocks` finds them in Caffe's order, into which they are brought at that moment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from segcaffe.blob.blob import Blob
from segcaffe.blob.buffer import Buffer, note_change
from segcaffe.threads.recording import tape


class Order:
    """How the values of blobs that are the same lie.

    Attributes
    ----------
    lanes, wanted:
        Channels of a block, 1 for Caffe's order: as the values lie, and as the next pass is to write them.
    shares_memory:
        Whether other blobs use their memory by turns.
    """

    def __init__(self) -> None:
        self.lanes, self.wanted = 1, 1
        self.shares_memory = False


class BlockedBlob(Blob):
    """A blob whose channels, on axis 1, may lie in blocks.

    Attributes
    ----------
    order:
        One object for all blobs that share their values.
    """

    __slots__ = ("order",)

    def __init__(self, shape: Sequence[int] = (0,), dtype: Any = np.float32) -> None:
        super().__init__(shape, dtype)
        self.order = Order()

    def can_lie_in(self, lanes: int) -> bool:
        """Whether it is images with whole blocks of channels, and nobody has the array, who would miss their order."""
        return self.ndim == 4 and self.shape[1] % lanes == 0 and self.count > 0 and not self._data.is_held()

    def read_blocks(self) -> Any:
        """The values in blocks if they lie so, otherwise None."""
        lanes = self.order.wanted if _is_scouting() else self.order.lanes
        return self._blocks(lanes) if lanes > 1 else None

    def blocks_to_write(self) -> Any:
        """Room for values in blocks, as wanted, which the caller writes."""
        self._note(self.order.wanted)
        return self._blocks(self.order.wanted)

    def planes_to_write(self) -> Any:
        """Room for values in Caffe's order, which the caller writes."""
        self._note(1)
        return self._seen(self._data.array())

    def _note(self, lanes: int) -> None:
        """Note how the values lie that someone is about to write."""
        if self.order.lanes != lanes and not _is_scouting():
            self.order.lanes = lanes
            note_change()

    def _blocks(self, lanes: int) -> Any:
        images, channels, *spatial = self.shape
        return self._data.array()[: self.count].reshape(images, channels // lanes, *spatial, lanes)

    @property
    def data(self) -> np.ndarray[Any, Any]:
        """The values on the host, in Caffe's order; where other blobs may have their memory by now, a copy of them."""
        if self.order.lanes > 1 and self.order.shares_memory:
            return self._planes().reshape(self.shape)
        self._bring_in_order()
        return self._seen(self._data.host())

    @data.setter
    def data(self, values: Any) -> None:
        self.data[...] = values

    @property
    def array(self) -> Any:
        """The values on the current mode's device, in Caffe's order."""
        self._bring_in_order()
        return self._seen(self._data.array())

    @array.setter
    def array(self, values: Any) -> None:
        self.array[...] = values

    def _bring_in_order(self) -> None:
        if self.order.lanes > 1 and not _is_scouting():
            planes = self._planes()
            self._note(1)
            self._data.host()[: self.count] = planes

    def _planes(self) -> np.ndarray[Any, Any]:
        """A flat copy of values in blocks, in Caffe's order."""
        images, channels, *spatial = self.shape
        sizes = images, channels // self.order.lanes, math.prod(spatial), self.order.lanes
        planes: np.ndarray[Any, Any] = self._data.host()[: self.count].reshape(sizes).transpose(0, 1, 3, 2).reshape(-1)
        return planes

    def reshape(self, *shape: int) -> None:
        """As of any blob; values of another shape are unspecified."""
        before = self.shape
        super().reshape(*shape)
        if self.shape != before:
            self._note(1)

    def take_over(self, values: np.ndarray[Any, Any]) -> None:
        """As of any blob, in Caffe's order."""
        self._note(1)
        super().take_over(values)

    def share_data(self, other: Blob) -> None:
        """Use the values of ``other``, and know how they lie."""
        super().share_data(other)
        if isinstance(other, BlockedBlob):
            self.order = other.order

    def use_buffer(self, side: Literal["data", "diff"], buffer: Buffer) -> None:
        """Use other memory, which other blobs use too."""
        super().use_buffer(side, buffer)
        if side == "data":
            self.order.shares_memory = True
            self._note(1)


def _is_scouting() -> bool:
    """Whether kernels only tell what they would do, so that nothing is written."""
    now = tape()
    return now is not None and now.scouting
