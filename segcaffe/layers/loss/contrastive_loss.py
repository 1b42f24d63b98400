"""ContrastiveLoss: pulls similar pairs together, pushes others apart."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows

_NEAR = 1e-4


@register
class ContrastiveLoss(LossLayer):
    """Loss = sum of d^2 (similar pairs) and max(margin - d, 0)^2 (others) / 2N, with d the Euclidean distance.

    bottom: a, b (N, C), similar (N) with 0 for pairs that are not; top: scalar.

    With legacy_version, others count max(margin - d^2, 0). [Hadsell, Chopra, LeCun 2006]
    """

    bottom_count = (3, 3)
    gradient_to = (0, 1)
    refuses_gradient = False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the margin and the version."""
        self.margin: float = self.param.contrastive_loss_param.margin
        self.legacy: bool = self.param.contrastive_loss_param.legacy_version

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that there are N pairs of vectors and N marks."""
        super().reshape(bottom, top)
        a, b, similar = bottom
        num = a.shape[0] if a.ndim else 0
        if a.count != b.count or a.ndim < 2 or a.count != num * a.shape[1] or similar.count != num:
            raise self.fail(
                "needs two bottoms of N vectors (N, C) or (N, C, 1, 1), and a third that says of each of the N pairs "
                "whether it is similar",
                f"shapes {a.shape}, {b.shape} and {similar.shape}",
            )

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the loss, keep differences and distances."""
        self.difference = rows(bottom[0].array - bottom[1].array.reshape(bottom[0].shape))
        self.squared = (self.difference * self.difference).sum(axis=1)
        self.similar = self.xp.trunc(bottom[2].array.reshape(-1)) != 0
        if self.legacy:
            apart = self.xp.maximum(self.margin - self.squared, 0)
        else:
            apart = self.xp.maximum(self.margin - self.xp.sqrt(self.squared), 0) ** 2
        top[0].array[...] = self.xp.where(self.similar, self.squared, apart).sum() / (2 * max(1, bottom[0].shape[0]))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient to both vectors of each pair, of opposite signs."""
        pull = self.xp.where(self.similar, 1, -self._push()).astype(self.dtype)
        gradient = self.difference * (pull * (top[0].grad / max(1, bottom[0].shape[0])))[:, None]
        for i, sign in enumerate((1, -1)):
            if propagate_down[i]:
                bottom[i].grad = (sign * gradient).reshape(bottom[i].shape)

    def _push(self) -> Array:
        """How strongly each pair that is not similar is pushed apart, per unit of difference."""
        if self.legacy:
            return (self.squared < self.margin).astype(self.dtype)
        distance = self.xp.sqrt(self.squared)
        # The small addend keeps equal vectors finite; it is part of the recorded gradients.
        return self.xp.maximum(self.margin - distance, 0) / (distance + _NEAR)
