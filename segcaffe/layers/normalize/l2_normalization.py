"""L2Normalization: each item divided by its length."""

from __future__ import annotations

from segcaffe.layers.base import Blobs
from segcaffe.layers.normalize.unit_length import UnitLength
from segcaffe.layers.registry import register


@register
class L2Normalization(UnitLength):
    """y = x / sqrt(sum of x² over an item), 0 where the item is.

    bottom: (N, ...);  top: the same shape. As with compact bilinear pooling (Gao et al., 2016); forks that normalise
    pixels have options for it, which are not known here.
    """

    eps = 1e-30

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Nothing to read."""

    def axes(self, ndim: int) -> tuple[int, int]:
        """All but the batch."""
        return 1, ndim
