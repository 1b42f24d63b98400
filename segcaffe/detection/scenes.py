"""Boxes of whole images: those that were found, and those that are there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Found(NamedTuple):
    """What a detector found in an image.

    Attributes
    ----------
    labels:
        (K,) of int.
    scores:
        (K,).
    boxes:
        (K, 4), in pixels.
    areas:
        (K,), as width and height give them: those of the corners may be off by a rounding.
    """

    labels: Array
    scores: Array
    boxes: Array
    areas: Array

    def of(self, label: int) -> Found:
        """Those of a label, the best first; of equal scores the first."""
        own = np.flatnonzero(self.labels == label)
        own = own[np.argsort(-self.scores[own], kind="stable")]
        return Found(*(values[own] for values in self))


class Objects(NamedTuple):
    """What is in an image.

    Attributes
    ----------
    labels:
        (G,) of int.
    boxes:
        (G, 4), in pixels.
    difficult:
        (G,) of bool: need not be found.
    crowd:
        (G,) of bool: many things in one box, which need not be found either.
    areas:
        (G,): of what is there, which need not fill its box.
    """

    labels: Array
    boxes: Array
    difficult: Array
    crowd: Array
    areas: Array

    def of(self, label: int) -> Objects:
        """Those of a label."""
        own = self.labels == label
        return Objects(*(values[own] for values in self))
