"""What MALIS needs: which pairs of vertices the edges of a maximum spanning tree join. [Turaga et al. 2009]."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.kernels.dispatch import kernel


@kernel(writes=("pairs",))
def joined(ends: Array, order: Array, labels: Array, pairs: Array) -> None:
    """Add the edges one by one, and count the pairs of vertices that each one is the first to connect.

    Parameters
    ----------
    ends:
        (2, edges) of int64, the vertices of each edge.
    order:
        (edges,) of int64, which edge is the next one.
    labels:
        (vertices,) of int64; vertices of label 0 are not counted.
    pairs:
        (2, edges) of int64: pairs of one label, and of different labels.
    """
