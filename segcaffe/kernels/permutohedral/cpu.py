"""The permutohedral lattice on the CPU: a hash table of vertices; channels in groups that fill a vector register."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]

_GROUP = 4
"""Channels that are filtered together."""


def build(features: Array, vertices: Array, weights: Array, neighbours: Array, count: Array) -> None:
    points, dims = features.shape
    axes = np.arange(1, dims + 1)
    deviation = float(np.float32(np.sqrt(2 / 3) * (dims + 1)))
    scale = (deviation / np.sqrt(axes * (axes + 1))).astype(np.float32)
    capacity = 1 << int(2 * points * (dims + 1)).bit_length()
    table = np.zeros(capacity, np.int32)
    keys = np.empty((points * (dims + 1), dims), np.int32)
    count[0] = _build(features, scale, vertices, weights, table, keys)
    parallel.run(int(count[0]), lambda a, b: _link(table, keys, neighbours, a, b), grain=1024)


def apply(values: Array, vertices: Array, weights: Array, neighbours: Array, out: Array, reverse: bool) -> None:
    groups = -(-len(values) // _GROUP)
    parallel.run(groups, lambda a, b: _apply(values, vertices, weights, neighbours, out, reverse, a, b))


@njit(nogil=True, cache=True)
def _find(table, keys, key, new):
    """The number of the vertex with that key, 0 if there is none; ``new`` is the number of one to add, or 0."""
    mask = len(table) - 1
    slot = np.uint64(0)
    for k in key:
        slot = (slot + np.uint64(np.int64(k))) * np.uint64(0x9E3779B97F4A7C15)
    place = np.int64(slot >> np.uint64(32)) & mask
    while table[place] != 0:
        known = keys[table[place] - 1]
        same = True
        for i in range(len(key)):
            same = same and known[i] == key[i]
        if same:
            return table[place]
        place = (place + 1) & mask
    if new != 0:
        table[place] = new
        for i in range(len(key)):
            keys[new - 1, i] = key[i]
    return new


@njit(nogil=True, cache=True)
def _enclose(feature, scale, elevated, corner, rank):
    """Embed a point in the hyperplane of D + 1 coordinates that add up to 0; find its simplex's corner and order.

    ``corner`` is the nearest vertex whose coordinates are multiples of D + 1, ``rank`` the place of each coordinate
    when the distances to that vertex are put in falling order. All in float32: a point on the border of two
    simplices falls to the same one as in the reference implementations.
    """
    dims = len(feature)
    side = np.float32(dims + 1)
    total = np.float32(0)
    for j in range(dims, 0, -1):
        step = feature[j - 1] * scale[j - 1]
        elevated[j] = total - np.float32(j) * step
        total += step
    elevated[0] = total
    shift = 0
    inverse = np.float32(1) / side
    for i in range(dims + 1):
        multiple = np.rint(elevated[i] * inverse)
        corner[i] = multiple * side
        shift += int(multiple)
        rank[i] = 0
    for i in range(dims):
        for j in range(i + 1, dims + 1):
            if elevated[i] - corner[i] < elevated[j] - corner[j]:
                rank[i] += 1
            else:
                rank[j] += 1
    # Rounding each coordinate by itself may leave the hyperplane: those rounded furthest go back by one step.
    for i in range(dims + 1):
        rank[i] += shift
        if rank[i] < 0:
            rank[i] += dims + 1
            corner[i] += side
        elif rank[i] > dims:
            rank[i] -= dims + 1
            corner[i] -= side


@njit(nogil=True, cache=True)
def _build(features, scale, vertices, weights, table, keys):
    points, dims = features.shape
    elevated = np.empty(dims + 1, np.float32)
    corner = np.empty(dims + 1, np.float32)
    rank = np.empty(dims + 1, np.int64)
    coordinates = np.empty(dims + 2, np.float32)
    key = np.empty(dims, np.int32)
    count = 0
    inverse = np.float32(1) / np.float32(dims + 1)
    for p in range(points):
        _enclose(features[p], scale, elevated, corner, rank)
        coordinates[:] = 0
        for i in range(dims + 1):
            v = (elevated[i] - corner[i]) * inverse
            coordinates[dims - rank[i]] += v
            coordinates[dims + 1 - rank[i]] -= v
        coordinates[0] += np.float32(1) + coordinates[dims + 1]
        for vertex in range(dims + 1):
            for i in range(dims):
                step = vertex if rank[i] <= dims - vertex else vertex - dims - 1
                key[i] = np.int32(corner[i]) + step
            number = _find(table, keys, key, count + 1)
            count = max(count, number)
            vertices[p, vertex] = number
            weights[p, vertex] = coordinates[vertex]
    return count


@njit(nogil=True, cache=True)
def _link(table, keys, neighbours, start, stop):
    """Fill in the neighbours of vertices start..stop along each axis."""
    dims = keys.shape[1]
    before, after = np.empty(dims, np.int32), np.empty(dims, np.int32)
    for axis in range(dims + 1):
        for v in range(start, stop):
            for i in range(dims):
                before[i], after[i] = keys[v, i] - 1, keys[v, i] + 1
            # The last coordinate is not stored: it follows from the others.
            if axis < dims:
                before[axis], after[axis] = keys[v, axis] + dims, keys[v, axis] - dims
            neighbours[axis, v, 0] = _find(table, keys, before, 0)
            neighbours[axis, v, 1] = _find(table, keys, after, 0)


@njit(nogil=True, cache=True)
def _apply(values, vertices, weights, neighbours, out, reverse, start, stop):
    """Groups start..stop of channels. Row 0 of the lattice stays 0: it stands for vertices that no point has."""
    axes, count = neighbours.shape[:2]
    channels, points = values.shape
    half = values.dtype.type(0.5)
    alpha = values.dtype.type(1 / (1 + 2.0 ** (1 - axes)))
    lattice = np.zeros((count + 1, _GROUP), values.dtype)
    blurred = np.zeros((count + 1, _GROUP), values.dtype)
    point = np.zeros(_GROUP, values.dtype)
    for c0 in range(start * _GROUP, min(channels, stop * _GROUP), _GROUP):
        many = min(_GROUP, channels - c0)
        lattice[:] = 0
        for p in range(points):
            for k in range(many):
                point[k] = values[c0 + k, p]
            for j in range(axes):
                row = lattice[vertices[p, j]]
                for k in range(_GROUP):
                    row[k] += weights[p, j] * point[k]
        for step in range(axes):
            links = neighbours[axes - 1 - step if reverse else step]
            for v in range(count):
                row, to = lattice[v + 1], blurred[v + 1]
                before, after = lattice[links[v, 0]], lattice[links[v, 1]]
                for k in range(_GROUP):
                    to[k] = row[k] + half * (before[k] + after[k])
            lattice, blurred = blurred, lattice
        for p in range(points):
            point[:] = 0
            for j in range(axes):
                row = lattice[vertices[p, j]]
                for k in range(_GROUP):
                    point[k] += weights[p, j] * row[k]
            for k in range(many):
                out[c0 + k, p] = alpha * point[k]
