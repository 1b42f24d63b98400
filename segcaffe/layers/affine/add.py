"""Add: a sum whose terms are broadcast."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.layers.affine.pairwise import Pairwise
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register


@register
class Add(Pairwise):
    """y = a + b, with NumPy's rules of broadcasting: shapes are compared from the last axis on, and 1 fits everywhere.

    bottom: a and b;  top: the shape of both together. From Synopsys' Caffe.
    """

    bottom_count = (2, 2)
    backward_reads = ()

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Add."""
        self.xp.add(bottom[0].array, bottom[1].array, out=top[0].array)

    def slopes(self, a: Array, b: Array) -> tuple[Array | float, Array | float]:
        """1 and 1."""
        return 1.0, 1.0
