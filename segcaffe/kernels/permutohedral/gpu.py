"""The permutohedral lattice on the GPU: vertices numbered by sorting, sums gathered in the order of the points."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.device.mode import to_host, xp
from segcaffe.errors import DeviceError
from segcaffe.kernels.cuda.compile import launch

Array = Any
_MOST = 16
"""As in the source: most features of a point."""


def build(features: Array, vertices: Array, weights: Array, neighbours: Array, count: Array) -> None:
    points, dims = features.shape
    if dims > _MOST:
        raise DeviceError(f"On a GPU the lattice takes up to {_MOST} features. Received: {dims}.")
    axes = np.arange(1, dims + 1)
    deviation = float(np.float32(np.sqrt(2 / 3) * (dims + 1)))
    scale = (deviation / np.sqrt(axes * (axes + 1))).astype(np.float32)
    keys = xp().empty((points * (dims + 1), dims), np.int32)
    launch("permutohedral", "enclose", points, features, xp().asarray(scale), keys, weights, dims, points)
    low, radix = _radix(keys, dims)
    packed = xp().empty(len(keys), np.int64)
    launch("permutohedral", "pack", len(keys), keys, xp().asarray(low), xp().asarray(radix), packed, dims, len(keys))
    table, numbers = xp().unique(packed, return_inverse=True)
    vertices[...] = numbers.reshape(vertices.shape) + 1
    count[...] = len(table)
    links = (dims + 1) * len(table)
    sizes = (dims, neighbours.shape[1], len(table), links)
    launch("permutohedral", "link", links, table, xp().asarray(radix), neighbours, *sizes)


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
    filtered = xp().empty_like(out) if adds else out
    _filter(values if before is None else values * before, (vertices, weights, neighbours), filtered, reverse)
    if after is not None:
        filtered *= after
    if adds:
        out += filtered


def _filter(values: Array, tables: tuple[Array, Array, Array], out: Array, reverse: bool) -> None:
    vertices, weights, neighbours = tables
    axes, count = neighbours.shape[:2]
    channels, points = values.shape
    order = xp().argsort(vertices.reshape(-1), kind="stable")
    starts = xp().searchsorted(vertices.reshape(-1)[order], xp().arange(count + 2))
    lattice = xp().empty((count + 1, channels), values.dtype)
    blurred = xp().empty_like(lattice)
    rows = xp().ascontiguousarray(values.T)
    size = lattice.size
    launch("permutohedral", "splat", size, rows, weights, order, starts, lattice, channels, axes, size)
    for axis in reversed(range(axes)) if reverse else range(axes):
        links = xp().ascontiguousarray(neighbours[axis])
        launch("permutohedral", "blur", size, lattice, links, blurred, channels, size)
        lattice, blurred = blurred, lattice
    alpha = 1 / (1 + 2.0 ** (1 - axes))
    sizes = (axes, channels, points, out.size)
    launch("permutohedral", "slice", out.size, lattice, vertices, weights, out, alpha, *sizes)


def _radix(keys: Array, dims: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Each coordinate's least value and its factor in the packed number, with room for neighbours on all sides."""
    low = to_host(keys.min(axis=0)).astype(np.int64) - dims
    extent = to_host(keys.max(axis=0)).astype(np.int64) + dims + 1 - low
    radix = np.ones(dims, np.int64)
    for i in range(1, dims):
        radix[i] = radix[i - 1] * extent[i - 1]
    if float(np.prod(extent.astype(np.float64))) >= 2.0**62:
        raise DeviceError(
            "On a GPU the lattice numbers its vertices with 62 bits; these points lie too far apart in too many "
            f"features ({extent.tolist()} steps). Make the deviations larger."
        )
    return low, radix
