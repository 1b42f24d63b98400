"""Pairs joined by a spanning tree, on the CPU: Kruskal's algorithm, each tree with a list of its labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit

Array = np.ndarray[Any, Any]
_compiled = njit(nogil=True, cache=True)


def joined(ends: Array, order: Array, labels: Array, pairs: Array) -> None:
    _joined(ends, order, labels, pairs)


@_compiled
def _root(parents, vertex):
    while parents[vertex] != vertex:
        parents[vertex] = parents[parents[vertex]]
        vertex = parents[vertex]
    return vertex


@_compiled
def _merge(a, b, labels, counts, following):
    """Merge two lists of labels, linked in rising order; its first entry, and the pairs of one label."""
    first = last = -1
    same = 0
    while a >= 0 and b >= 0:
        if labels[a] == labels[b]:
            same += counts[a] * counts[b]
            counts[a] += counts[b]
            b = following[b]
            continue
        if labels[a] < labels[b]:
            entry, a = a, following[a]
        else:
            entry, b = b, following[b]
        if last >= 0:
            following[last] = entry
        else:
            first = entry
        last = entry
    rest = a if a >= 0 else b
    if last < 0:
        return rest, same
    following[last] = rest
    return first, same


@_compiled
def _joined(ends, order, labels, pairs):
    vertices = labels.size
    parents, following = np.arange(vertices), np.full(vertices, -1)
    heads, counts, totals = np.arange(vertices), np.ones(vertices, np.int64), np.ones(vertices, np.int64)
    for vertex in range(vertices):
        if labels[vertex] == 0:
            heads[vertex] = -1
            totals[vertex] = 0
    pairs[:] = 0
    for edge in order:
        a, b = _root(parents, ends[0, edge]), _root(parents, ends[1, edge])
        if a == b:
            continue
        heads[a], same = _merge(heads[a], heads[b], labels, counts, following)
        pairs[0, edge], pairs[1, edge] = same, totals[a] * totals[b] - same
        totals[a] += totals[b]
        parents[b] = a
