"""What layers share that only change the shape of their bottom."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.threads import recording


class SameMemory(Layer):
    """A layer whose top is the bottom's memory, values and gradient, under another shape."""

    backward_reads = ()

    def top_shape(self, bottom: Blobs) -> tuple[int, ...]:
        """The shape of the top, with as many elements as the bottom has."""
        raise NotImplementedError

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Shape the top and let it use the bottom's memory."""
        top[0].reshape(*self.top_shape(bottom))
        top[0].share_data(bottom[0])
        top[0].share_diff(bottom[0])

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Nothing to do: the values are shared."""
        recording.nothing()

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Nothing to do: the gradient is shared."""
