"""What layers share whose bottom lies inside their top, surrounded by a constant, or the other way round."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer

Margins = Sequence[tuple[int, int]]


class Padded(Layer):
    """A layer that adds elements before and behind each axis; negative numbers cut elements off.

    Attributes
    ----------
    value:
        What is added.
    """

    backward_reads = ()
    value: float = 0.0

    def margins(self, shape: tuple[int, ...]) -> Margins:
        """For each axis how many elements are added before and behind."""
        raise NotImplementedError

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Find what both have in common."""
        shape = bottom[0].shape
        if not shape:
            raise self.fail("the bottom must have an axis.", "a scalar")
        margins = self.margins(shape)
        extents = [extent + before + behind for extent, (before, behind) in zip(shape, margins, strict=True)]
        if min(extents, default=0) < 0 or any(e < 1 <= s for e, s in zip(extents, shape, strict=True)):
            raise self.fail("cutting off must leave something.", f"{list(margins)} of a bottom of shape {shape}")
        top[0].reshape(*extents)
        self._inside = tuple(slice(max(0, a), e - max(0, b)) for e, (a, b) in zip(extents, margins, strict=True))
        self._taken = tuple(slice(max(0, -a), e - max(0, -b)) for e, (a, b) in zip(shape, margins, strict=True))
        self._adds = any(max(pair) > 0 for pair in margins)
        self._cuts = any(min(pair) < 0 for pair in margins)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the values to their place."""
        y = top[0].array
        if self._adds:
            y.fill(self.value)
        copy.copy(bottom[0].array[self._taken], y[self._inside])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Copy the gradient back; 0 for what was cut off."""
        if propagate_down[0]:
            dx = bottom[0].grad
            if self._cuts:
                dx.fill(0)
            copy.copy(top[0].grad[self._inside], dx[self._taken])
