"""TripletLoss: what is alike should be nearer than what is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs, LossLayer
from segcaffe.layers.registry import register
from segcaffe.layers.views import rows

_RATIO = 1
"""``losstype``: the quotient of distances counts, not their difference."""


@register
class TripletLoss(LossLayer):
    """Half the mean over references of max(0, margin + d(reference, like) - d(reference, unlike)), d = |a - b|².

    bottoms: references, likes and unlikes, each (N, C); or sets of vectors (S (2 + num_triplets), C) and labels, which
    are not used. top: scalar.

    In a set there is a reference, one vector like it, and num_triplets that are not. There the loss of a set is the sum
    over those, plus d(reference, like); with ``losstype`` 1, which is the default, what is summed is
    max(0, 1 - d(reference, unlike) / (d(reference, like) + margin)).   [FaceNet: Schroff et al. 2015; sets: Wohlhart
    and Lepetit 2015].
    """

    bottom_count = (2, 3)
    gradient_to: ClassVar[tuple[int, ...] | None] = None

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options of the one or the other."""
        options = self.param.triplet_loss_param
        self.margin = options.margin
        self.in_sets = len(bottom) == 2
        self.unlikes = options.num_triplets if self.in_sets else 1
        self.ratio = self.in_sets and options.losstype == _RATIO
        if self.unlikes < 1 or options.losstype > _RATIO or (self.ratio and self.margin <= 0):
            received = f"num_triplets {self.unlikes}, losstype {options.losstype}, margin {self.margin:g}"
            raise self.fail("num_triplets must be 1 or more, losstype 0 or 1, and for 1 margin above 0", received)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes."""
        shapes = [blob.shape for blob in bottom]
        if not shapes[0] or (not self.in_sets and len(set(shapes)) > 1):
            raise self.fail("references, likes and unlikes must have one shape (N, C)", shapes)
        if self.in_sets and (shapes[0][0] % (2 + self.unlikes) or shapes[1][:1] != shapes[0][:1]):
            rule = f"with two bottoms the batch must be sets of {2 + self.unlikes} vectors with a label each"
            raise self.fail(f"{rule}; references, likes and unlikes as three bottoms are the other form", shapes)
        top[0].reshape()

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the loss, keep the differences."""
        xp = self.xp
        reference, like, unlike = self._vectors([rows(blob.array) for blob in bottom])
        self.to_like, self.to_unlike = reference - like, reference[:, None] - unlike
        near, far = (self.to_like**2).sum(axis=1)[:, None], (self.to_unlike**2).sum(axis=2)
        losses = 1 - far / (near + self.margin) if self.ratio else self.margin + near - far
        counts = (losses > 0).astype(self.dtype)
        # How strongly each difference pulls or pushes.
        self.push = counts / (near + self.margin) if self.ratio else counts
        pull = counts * far / (near + self.margin) ** 2 if self.ratio else counts
        self.pull = pull.sum(axis=1) + self.dtype.type(self.in_sets)
        total = xp.maximum(losses, 0).sum() + (near.sum() if self.in_sets else 0)
        top[0].array[...] = total / (2 * max(1, len(reference)))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Likes are pulled to their reference, unlikes are pushed away."""
        pulls, pushes = self.to_like * self.pull[:, None], self.to_unlike * self.push[:, :, None]
        factor = self.dtype.type(float(top[0].diff) / max(1, len(pulls)))
        parts = pulls - pushes.sum(axis=1), -pulls, pushes
        places = self._vectors([rows(blob.grad) if i < 3 - self.in_sets * 2 else None for i, blob in enumerate(bottom)])
        wanted = propagate_down if not self.in_sets else [propagate_down[0]] * 3
        for place, part, wants in zip(places, parts, wanted, strict=True):
            if wants:
                place[...] = part * factor
        if self.in_sets and propagate_down[1]:
            bottom[1].grad[...] = 0

    def _vectors(self, arrays: Sequence[Array]) -> tuple[Array, Array, Array]:
        """Views: references (S, C), likes (S, C), unlikes (S, K, C)."""
        if not self.in_sets:
            return arrays[0], arrays[1], arrays[2][:, None]
        size = 2 + self.unlikes
        sets = arrays[0].reshape(len(arrays[0]) // size, size, arrays[0].shape[1])
        return sets[:, 0], sets[:, 1], sets[:, 2:]
