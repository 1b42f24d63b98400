"""ArgMax: which values are largest."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.kernels import arg_max
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class ArgMax(Layer):
    """Indices of the top_k largest values, the largest first; of equal values the larger index first.

    With ``axis``: bottom (..., D, ...), top (..., top_k, ...) of indices, or with out_max_val of values.
    Without: over each item; bottom (N, ...), top (N, 1, top_k, 1, ...) of indices, or with out_max_val
    (N, 2, top_k, 1, ...) of indices and values. The top has as many axes as the bottom, at least 3.
    """

    gradient_to = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the options."""
        options = self.param.argmax_param
        self.axis = options.axis if options.HasField("axis") else None
        self.top_k, self.values = options.top_k, options.out_max_val
        if self.top_k < 1:
            raise self.fail("top_k must be at least 1.", self.top_k)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Set the top's shape; see the class."""
        shape = bottom[0].shape
        if self.axis is not None:
            axis = bottom[0].canonical_axis(self.axis, self.where)
            top[0].reshape(*shape[:axis], self.top_k, *shape[axis + 1 :])
            self._view = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
        else:
            items = shape[0] if shape else 1
            top[0].reshape(items, 2 if self.values else 1, self.top_k, *[1] * (len(shape) - 3))
            self._view = (items, math.prod(shape[1:]), 1)
        if self.top_k > self._view[1]:
            raise self.fail(f"top_k must not exceed the number of values, {self._view[1]}.", self.top_k)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Find the largest values."""
        outer, _, inner = self._view
        shape = (outer, self.top_k, inner)
        indices, values = self.xp.empty(shape, self.dtype), self.xp.empty(shape, self.dtype)
        arg_max.arg_max(bottom[0].array.reshape(self._view), values, indices)
        if self.axis is not None:
            top[0].array = (values if self.values else indices).reshape(top[0].shape)
        else:
            parts = [indices, values] if self.values else [indices]
            top[0].array = self.xp.stack(parts, axis=1).reshape(top[0].shape)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Indices have no gradient."""
