"""The largest values along an axis, and where they are."""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.dispatch import kernel

Array = Any


@kernel(writes=("values", "indices"))
def arg_max(x: Array, values: Array, indices: Array) -> None:
    """Find the k largest of x (outer, n, inner) along the middle axis, the largest first.

    ``values`` and ``indices`` are (outer, k, inner) and of x's dtype. Of equal values the one with the larger index
    comes first.
    """
