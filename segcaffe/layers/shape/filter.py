"""Filter: keep the items of a batch that a selector marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class Filter(Layer):
    """The items of each bottom but the last where the last, the selector, is not 0.

    bottoms: any number of (N, ...), then the selector (N,) or (N, 1, ...);  tops: (number selected, ...), one for each
    bottom but the selector. Before the first forward, while nothing is selected, the tops have N items, so that the
    layers behind can be set up.
    """

    bottom_count = (2, None)
    top_count = (1, None)
    reshape_always = True
    open_axis = 0

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the number of tops."""
        self._started = False
        if len(top) != len(bottom) - 1:
            raise self.fail(
                "needs a top for each bottom but the last, the selector.", f"{len(bottom)} bottoms and {len(top)} tops"
            )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Find the selected items."""
        selector = bottom[-1]
        if selector.ndim == 0 or selector.count != selector.shape[0]:
            raise self.fail("the selector must be (N,) or (N, 1, ...).", f"shape {selector.shape}")
        for blob in bottom[:-1]:
            if blob.shape[:1] != selector.shape[:1]:
                raise self.fail(
                    "every bottom needs as many items as the selector.", f"{blob.shape} and {selector.shape}"
                )
        self._selected = np.flatnonzero(selector.data)
        items = len(self._selected) if self._started or len(self._selected) else selector.shape[0]
        for source, target in zip(bottom, top, strict=False):
            target.reshape(items, *source.shape[1:])

    def example(self, index: int, bottom: Blobs, rng: np.random.Generator) -> Any:
        """Of the selector: some of the items, the first one among them."""
        if index != len(bottom) - 1:
            return None
        chosen = rng.integers(2, size=bottom[index].shape)
        chosen[:1] = 1
        return chosen

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the selected items."""
        self._started = True
        for source, target in zip(bottom, top, strict=False):
            target.reshape(len(self._selected), *source.shape[1:])
            x, y = source.array, target.array
            for m, i in enumerate(self._selected):
                copy.copy(x[i : i + 1], y[m : m + 1])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Give the selected items their gradients and the others 0; the selector, if asked for, 0."""
        for i, wanted in enumerate(propagate_down):
            if wanted:
                grad = bottom[i].grad
                chosen = self._selected if i < len(top) else self._selected[:0]
                for n in set(range(len(grad))) - set(chosen.tolist()):
                    grad[n] = 0
                for m, n in enumerate(chosen):
                    copy.copy(top[i].grad[m : m + 1], grad[n : n + 1])
