"""What layers share that multiply whole channels by random factors in training."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.kernels import channelwise, copy
from segcaffe.layers.base import Blobs, NeuronLayer
from segcaffe.layers.views import planes


class ChannelFactors(NeuronLayer):
    """TRAIN: each channel of each item times a factor drawn anew in each forward pass. TEST: y = x."""

    backward_reads = ()

    def draw(self, count: int) -> Array:
        """As many factors."""
        raise NotImplementedError

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the axes."""
        if bottom[0].ndim < 2:
            raise self.fail("needs a batch axis and a channel axis", f"shape {bottom[0].shape}")
        self.replayable = not self.training

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Make room for a factor for each channel of each item."""
        super().reshape(bottom, top)
        self._factors = self.own_blob("factors", (bottom[0].shape[0] * bottom[0].shape[1],))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Draw and multiply in TRAIN; copy in TEST."""
        if self.training:
            self._factors.array = device.to_device(self.draw(self._factors.count).astype(self.dtype))
        self.recompute(bottom, top)

    def recompute(self, bottom: Blobs, top: Blobs) -> None:
        """Multiply by the factors of the last time."""
        self._multiply(bottom[0].array, top[0].array, top[0] is bottom[0])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Multiply the gradient as the values were."""
        if propagate_down[0]:
            self._multiply(top[0].grad, bottom[0].grad, top[0] is bottom[0])

    def _multiply(self, x: Array, y: Array, same: bool) -> None:
        if self.training:
            view = (1, self._factors.count, planes(x).shape[2])
            factors = self._factors.array
            channelwise.affine(x.reshape(view), factors, self.xp.zeros_like(factors), y.reshape(view))
        elif not same:
            copy.copy(x, y)
