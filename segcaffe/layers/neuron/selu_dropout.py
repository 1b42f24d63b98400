"""SeLUDropout, under the names of two Caffes: dropout for SELU that keeps mean and variance."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.kernels import copy, elementwise
from segcaffe.layers.base import Blobs, NeuronLayer
from segcaffe.layers.registry import register


@register
class SeLUDropout(NeuronLayer):
    """TRAIN: y = a·(x, or alpha with probability dropout_ratio) + b. TEST: y = x.   [Klambauer et al. 2017].

    With q = 1 - dropout_ratio, a = (q + alpha²·q·(1 - q))^(-1/2) and b = -a·(1 - q)·alpha: what has mean 0 and
    variance 1 keeps them.
    """

    options_field = "selu_dropout_param"
    backward_reads = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the ratio and what dropped values become."""
        options = self.param.selu_dropout_param
        self.ratio, self.alpha = options.dropout_ratio, options.alpha
        if not 0 <= self.ratio < 1:
            raise self.fail("dropout_ratio must be at least 0 and less than 1.", f"{self.ratio:g}")
        kept = 1 - self.ratio
        self.scale = (kept + self.alpha**2 * kept * self.ratio) ** -0.5
        self.replayable = not self.training
        self._seed = 0

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Drop and scale in TRAIN; copy in TEST."""
        if self.training:
            self._seed = int(device.generator().integers(1 << 63))
        self.recompute(bottom, top)

    def recompute(self, bottom: Blobs, top: Blobs) -> None:
        """Drop the same values as the last time."""
        x, y = bottom[0].array, top[0].array
        if self.training:
            mask = self._mask(x)
            dropped = self.scale * self.alpha
            elementwise.multiply(x, mask, self.scale, y)
            # What is dropped becomes a·alpha + b, the rest gets b.
            elementwise.combine(y, 1, mask, -dropped, y)
            elementwise.linear(y, 1, dropped * (1 - self.ratio), y)
        elif top[0] is not bottom[0]:
            copy.copy(x, y)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = a·dy, 0 where x was dropped."""
        if propagate_down[0] and self.training:
            elementwise.multiply(top[0].grad, self._mask(top[0].grad), self.scale, bottom[0].grad)
        elif propagate_down[0] and top[0] is not bottom[0]:
            copy.copy(top[0].grad, bottom[0].grad)

    def _mask(self, like: Array) -> Array:
        """1, or 0 where values are dropped."""
        mask = self.xp.full_like(like, 1 - self.ratio)
        elementwise.dropout(mask, self._seed, self.ratio, mask)
        return mask


@register
class SeLuDropout(SeLUDropout):
    """As `SeLUDropout`."""

    options_field = "selu_dropout_param"
