"""Views of arrays under fewer axes. ``reshape(n, -1)`` cannot do that for empty batches."""

from __future__ import annotations

import math

from segcaffe.device.mode import Array


def rows(array: Array, axis: int = 1) -> Array:
    """View an array as a matrix: the axes before ``axis`` joined, and those from it on."""
    return array.reshape(math.prod(array.shape[:axis]), math.prod(array.shape[axis:]))


def planes(array: Array) -> Array:
    """View (N, C, ...) as (N, C, everything behind)."""
    return array.reshape(*array.shape[:2], math.prod(array.shape[2:]))
