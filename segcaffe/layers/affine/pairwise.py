"""What Add and Mul share: two blobs, broadcast to one shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.blob import Blob
from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs, Layer


class Pairwise(Layer):
    """A function of a and b, with NumPy's rules of broadcasting.

    Shapes are compared from the last axis on, and an extent of 1 fits every other. b is bottom 1 or a parameter.
    """

    bottom_count = (1, 2)

    def slopes(self, a: Array, b: Array) -> tuple[Array | float, Array | float]:
        """The function's derivatives with respect to a and b."""
        raise NotImplementedError

    def second(self, bottom: Blobs) -> Blob:
        """The blob of b."""
        return bottom[1] if len(bottom) == 2 else self.blobs[0]

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Broadcast the shapes."""
        shapes = bottom[0].shape, self.second(bottom).shape
        try:
            top[0].reshape(*np.broadcast_shapes(*shapes))
        except ValueError:
            rule = "extents must be equal, or one of them 1, from the last axis on."
            raise self.fail(rule, f"shapes {shapes[0]} and {shapes[1]}") from None

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The derivatives times dy, summed over what was broadcast."""
        dy, b = top[0].grad, self.second(bottom)
        of_a, of_b = self.slopes(bottom[0].array, b.array)
        if len(bottom) == 1 and self.wants_param(0):
            b.grad[...] += _summed(dy * of_b, b.shape)
        if len(bottom) == 2 and propagate_down[1]:
            b.grad[...] = _summed(dy * of_b, b.shape)
        if propagate_down[0]:
            bottom[0].grad[...] = _summed(dy * of_a, bottom[0].shape)


def _summed(array: Array, shape: tuple[int, ...]) -> Array:
    """Sums over the axes along which ``shape`` was broadcast."""
    added = array.ndim - len(shape)
    axes = [*range(added), *(added + i for i, extent in enumerate(shape) if extent == 1)]
    return array.sum(axis=tuple(axes)).reshape(shape)
