"""BatchReindex: choose, repeat and reorder the items of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe import device
from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class BatchReindex(Layer):
    """Item m of the top is item index[m] of the bottom.

    bottom: x (N, ...), index (M,) of whole numbers 0 to N - 1;  top: (M, ...).
    """

    bottom_count = (2, 2)
    gradient_to = (0,)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that the index is a vector."""
        if bottom[0].ndim == 0 or bottom[1].ndim != 1:
            raise self.fail("needs items (N, ...) and an index (M,).", f"{bottom[0].shape} and {bottom[1].shape}")
        top[0].reshape(bottom[1].shape[0], *bottom[0].shape[1:])

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """Of bottom 1: numbers of items."""
        return rng.integers(max(1, bottom[0].shape[0]), size=bottom[1].shape) if index == 1 else None

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the chosen items."""
        index, items = device.to_host(bottom[1].array), bottom[0].shape[0]
        for i in index:
            if not 0 <= i < items:
                raise self.fail(f"an index must lie in [0, {items}), the number of items.", f"{i:g}")
        self._index = [int(i) for i in index]
        x, y = bottom[0].array, top[0].array
        for m, i in enumerate(self._index):
            copy.copy(x[i : i + 1], y[m : m + 1])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add to each item the gradients of its copies."""
        if propagate_down[0]:
            dx, dy = bottom[0].grad, top[0].grad
            for i in set(range(len(dx))) - set(self._index):
                dx[i] = 0
            seen: set[int] = set()
            for m, i in enumerate(self._index):
                if i in seen:
                    dx[i] += dy[m]
                else:
                    copy.copy(dy[m : m + 1], dx[i : i + 1])
                    seen.add(i)
