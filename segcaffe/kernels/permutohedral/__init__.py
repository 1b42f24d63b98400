"""High-dimensional Gaussian filtering on the permutohedral lattice, in time linear in the number of points.

Axis names: P points, D features, V vertices of the lattice, C channels. Each point lies in a simplex with D + 1
vertices; its value is splatted onto them with barycentric weights, the vertices are blurred with 1/2 1 1/2 along each
of D + 1 axes, and the point's result is sliced from its vertices with the same weights. Source: Adams, Baek, Davis,
"Fast High-Dimensional Filtering Using the Permutohedral Lattice", Eurographics 2010; scaled as in Krähenbühl and
Koltun's dense CRF, so that one unit of a feature is one standard deviation.
"""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.dispatch import kernel

Array = Any


@kernel(writes=("vertices", "weights", "neighbours", "count"))
def build(features: Array, vertices: Array, weights: Array, neighbours: Array, count: Array) -> None:
    """Find each point's simplex.

    Parameters
    ----------
    features:
        (P, D) float32.
    vertices, weights:
        (P, D + 1), int32 and float: numbers of the point's vertices, from 1, and its weights, which add up to 1.
    neighbours:
        (D + 1, P * (D + 1), 2) int32, the vertices before and after each vertex along each axis; vertex v is at index
        v - 1, and 0 stands for a vertex that no point has. Only the first V are written.
    count:
        One int64: V.
    """


@kernel(writes=("out",))
def apply(
    values: Array,
    vertices: Array,
    weights: Array,
    neighbours: Array,
    out: Array,
    reverse: bool,
    before: Array | None = None,
    after: Array | None = None,
    adds: bool = False,
) -> None:
    """Fill ``out`` (C, P) with ``values`` (C, P) splatted, blurred and sliced, times 1 / (1 + 2^-D).

    Parameters
    ----------
    vertices, weights, neighbours:
        From `build`; ``neighbours`` cut to (D + 1, V, 2).
    reverse:
        Blur in reverse order of axes: the adjoint of the filter that is not reversed.
    before, after:
        (1, P), what each point's values are multiplied by before and after the filter, or None.
    adds:
        Add to ``out`` instead.
    """
