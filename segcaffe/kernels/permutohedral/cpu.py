"""The permutohedral lattice on the CPU: a hash table of vertices; channels side by side in registers."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.permutohedral.lanes import MOST_UNITS, UNIT, blur, gather, splat
from segcaffe.kernels.vector.scratch import scratch
from segcaffe.kernels.vector.tile import add_block, clear_run, pack_block, vector_length
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]


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
    axes, count = neighbours.shape[:2]
    tables, way = (vertices.reshape(-1), weights.reshape(-1)), (len(values), axes, reverse, adds)
    nothing = np.empty(0, values.dtype)
    factors = (nothing if before is None else before.reshape(-1), nothing if after is None else after.reshape(-1))
    arrays = values.reshape(-1), tables, neighbours.reshape(-1), factors, out.reshape(-1), way

    def part(start: int, stop: int) -> None:
        for first in range(start, stop, MOST_UNITS):
            units = min(MOST_UNITS, stop - first)
            sizes = {"values": count + 1, "blurred": count + 1, "points": vector_length(values.dtype)}
            memory = [scratch(f"lattice_{name}", n * units * UNIT, values.dtype) for name, n in sizes.items()]
            _filter(*arrays, tuple(memory), (0,) * units, first * UNIT)

    units = -(-len(values) // UNIT)
    parallel.run(units, part, blocks=min(units, max(parallel.num_threads(), -(-units // MOST_UNITS))))


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
def _filter(values, tables, links, factors, out, way, memory, units, first):
    """Filter the channels from ``first`` on that rows of ``len(units)`` units hold.

    All arrays are flat. ``tables`` (vertices, weights); ``factors`` (before, after) have no elements where there are
    none; ``way`` (channels, axes, reverse, adds). Row 0 of the lattice stays 0, for vertices that no point has.
    """
    channels, axes, reverse, adds = way
    lattice, blurred, rows = memory
    before, after = factors
    points, count = tables[0].size // axes, links.size // (2 * axes)
    width, many = UNIT * len(units), min(channels - first, UNIT * len(units))
    tile = rows.size // width
    one, alpha = values.dtype.type(1), values.dtype.type(1 / (1 + 2.0 ** (1 - axes)))
    clear_run(lattice, 0, (count + 1) * width)
    clear_run(blurred, 0, width)
    clear_run(rows, 0, rows.size)
    for p in range(0, points, tile):
        here = min(tile, points - p)
        _take(values, first * points + p, points, many, here, tile, rows)
        for i in range(here):
            factor = before[p + i] if before.size > 0 else one
            splat(lattice, tables, (p + i) * axes, axes, rows, i * UNIT, tile * UNIT, factor, units)
    for step in range(axes):
        start = (axes - 1 - step if reverse else step) * 2 * count
        for v in range(count):
            blur(blurred, lattice, v + 1, links, start + 2 * v, units)
        lattice, blurred = blurred, lattice
    for p in range(0, points, tile):
        here = min(tile, points - p)
        for i in range(here):
            factor = alpha * after[p + i] if after.size > 0 else alpha
            gather(lattice, tables, (p + i) * axes, axes, rows, i * UNIT, tile * UNIT, factor, units)
        _give(out, first * points + p, points, many, here, tile, rows, adds)


@njit(inline="always")
def _take(values, at, points, many, here, tile, rows):
    """Bring the channels of ``here`` points side by side, as rows (units, tile, UNIT)."""
    for first in range(0, many, UNIT):
        source, target = at + first * points, first * tile
        if here == tile and first + UNIT <= many:
            pack_block(rows, target, values, source, points)
        else:
            for k in range(min(UNIT, many - first)):
                for i in range(here):
                    rows[np.uint64(target + i * UNIT + k)] = values[np.uint64(source + k * points + i)]


@njit(inline="always")
def _give(out, at, points, many, here, tile, rows, adds):
    """Write, or add, the rows of ``here`` points to their channels."""
    for k in range(0 if adds else many):
        clear_run(out, at + k * points, here)
    for first in range(0, many, UNIT):
        target, source = at + first * points, first * tile
        if here == tile and first + UNIT <= many:
            add_block(out, target, points, rows, source, 0, 1)
        else:
            for k in range(min(UNIT, many - first)):
                for i in range(here):
                    out[np.uint64(target + k * points + i)] += rows[np.uint64(source + i * UNIT + k)]
