"""L1Loss: absolute differences, or the length of the difference vector at each location."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.registry import register


@register
class L1Loss(LossLayer):
    """Loss = sum |d| / N, or with l2_per_location sum over (n, y, x) of sqrt(sum over c of d^2 + epsilon) / N.

    bottom: a and b, d = a - b, or d alone; (N, C, H, W); top: scalar.

    Elements where d is NaN do not count. plateau: differences (lengths) smaller than it count 0 and have no gradient.
    l2_prescale_by_channels: the sum over c is divided by C. normalize_by_num_entries: N becomes the number of elements
    that are not NaN over C. The gradient of |d| at 0 is -1. [FlowNet 2.0, Ilg et al. 2017]
    """

    bottom_count = (1, 2)
    gradient_to = (0, 1)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        param = self.param.l1_loss_param
        self.by_length: bool = param.l2_per_location
        self.prescale: bool = param.l2_prescale_by_channels
        self.by_entries: bool = param.normalize_by_num_entries
        self.epsilon: float = param.epsilon
        self.plateau: float = param.plateau
        if self.epsilon < 0 or self.plateau < 0:
            raise self.fail("epsilon and plateau must not be negative", f"{self.epsilon:g} and {self.plateau:g}")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that the bottoms have one shape, with a channel axis."""
        if any(blob.shape != bottom[0].shape for blob in bottom) or bottom[0].ndim < 2:
            raise self.fail("bottoms need one shape, of at least two axes (N, C, ...)", [blob.shape for blob in bottom])
        top[0].reshape()

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the loss and, with it, its derivative by d."""
        difference = bottom[0].array - bottom[1].array if len(bottom) > 1 else bottom[0].array
        known = ~self.xp.isnan(difference)
        difference = self.xp.where(known, difference, 0)
        loss, slope = self._lengths(difference) if self.by_length else self._absolutes(difference, known)
        self.slope = self.xp.where(known, slope, 0).astype(self.dtype)
        num, channels = bottom[0].shape[:2]
        # Without a single number the loss is 0 rather than 0 / 0.
        self.divisor = (float(known.sum()) / channels or 1.0) if self.by_entries else num
        top[0].array[...] = loss / self.divisor

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient of d to the first bottom, its negative to the second."""
        for i, sign in zip(range(len(bottom)), (1, -1), strict=False):
            if propagate_down[i]:
                self.xp.multiply(self.slope, top[0].grad * (sign / self.divisor), out=bottom[i].grad)

    def _absolutes(self, difference: Array, known: Array) -> tuple[Array, Array]:
        size = self.xp.abs(difference)
        far = known & (size >= self.plateau)
        return (size * far).sum(), self.xp.where(difference > 0, 1, -1) * far

    def _lengths(self, difference: Array) -> tuple[Array, Array]:
        scale = 1 / difference.shape[1] if self.prescale else 1
        squared = (difference * difference).sum(axis=1, keepdims=True) * scale
        far = squared >= self.plateau**2
        length = self.xp.sqrt(squared * far + self.epsilon)
        # Where the length is 0 it has no direction.
        return length.sum(), difference * scale * far / self.xp.where(length > 0, length, 1)
