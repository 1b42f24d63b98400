"""The innermost loops of the lattice: all channels of a vertex or a point side by side in vector registers.

A row is the values of some channels, `UNIT` times ``len(units)`` of them; ``units`` is a tuple of that length, so that
code for each width is compiled. Those of a vertex follow each other; those of a point's units lie ``apart``. Arrays are
flat; rows must lie inside them, which nothing checks. Products and sums are
rounded one by one, as in pydensecrf: scores that are not normalised are so large that probabilities would show it.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from segcaffe.kernels.vector.lanes import Lanes, lanes_code
from segcaffe.kernels.vector.tile import ROWS, sum_loop

UNIT = ROWS
"""Channels of a row come in so many: as `pack_block` brings side by side."""
MOST_UNITS = 32 // UNIT


@lanes_code
def splat(lanes, lattice, tables, first, axes, point, place, apart, factor, units):
    """``lattice[vertices[first + j]] += weights[first + j] * factor * point`` for j < axes; ``tables`` has both."""
    builder, (vertices, weights), scale = lanes.builder, tables, lanes.splat(factor)
    values = [builder.fmul(scale, lanes.load(row)) for row in _units(lanes, lanes.at(point, place), apart, len(units))]
    with cgutils.for_range_slice(builder, lanes.index(0), axes, lanes.index(1)) as (j, _):
        entry = builder.add(first, j)
        row, weight = _row(lanes, lattice, vertices, entry, len(units)), _weight(lanes, weights, entry)
        sums = _load(lanes, row, len(units))
        _store(lanes, [builder.fadd(builder.fmul(weight, v), s) for v, s in zip(values, sums, strict=True)], row)


@lanes_code
def blur(lanes, blurred, lattice, vertex, links, link, units):
    """``blurred[vertex] = lattice[vertex] + (lattice[links[link]] + lattice[links[link + 1]]) / 2``."""
    builder, count = lanes.builder, len(units)
    place = builder.mul(vertex, lanes.index(UNIT * count))
    neighbours = (_row(lanes, lattice, links, builder.add(link, lanes.index(i)), count) for i in (0, 1))
    values, before, after = (_load(lanes, row, count) for row in (lanes.at(lattice, place), *neighbours))
    half, results = lanes.constant(0.5), []
    for value, a, b in zip(values, before, after, strict=True):
        results.append(lanes.multiply_add(half, builder.fadd(a, b), value))
    _store(lanes, results, lanes.at(blurred, place))


@lanes_code
def gather(lanes, lattice, tables, first, axes, point, place, apart, factor, units):
    """``point = factor * sum over j < axes of weights[first + j] * lattice[vertices[first + j]]``."""
    vertices, weights = tables

    def step(j: Any, sums: list[Any]) -> list[Any]:
        entry = lanes.builder.add(first, j)
        row = _load(lanes, _row(lanes, lattice, vertices, entry, len(units)), len(units))
        weight = _weight(lanes, weights, entry)
        return [
            lanes.builder.fadd(lanes.builder.fmul(weight, value), total) for value, total in zip(row, sums, strict=True)
        ]

    sums, scale = sum_loop(lanes, axes, [lanes.zero] * len(units), step), lanes.splat(factor)
    for value, target in zip(sums, _units(lanes, lanes.at(point, place), apart, len(units)), strict=True):
        lanes.store(lanes.builder.fmul(scale, value), target)


def _row(lanes: Lanes, lattice: Any, vertices: Any, place: Any, units: int) -> Any:
    """The address of the row of the vertex whose number is at ``place``."""
    number = lanes.builder.sext(lanes.builder.load(lanes.at(vertices, place)), ir.IntType(64))
    return lanes.at(lattice, lanes.builder.mul(number, lanes.index(UNIT * units)))


def _units(lanes: Lanes, point: Any, apart: Any, units: int) -> list[Any]:
    """The addresses of a point's units."""
    return [lanes.at(point, lanes.builder.mul(apart, lanes.index(unit))) for unit in range(units)]


def _weight(lanes: Lanes, weights: Any, place: Any) -> Any:
    return lanes.splat(lanes.builder.load(lanes.at(weights, place)))


def _load(lanes: Lanes, start: Any, units: int) -> list[Any]:
    return [lanes.load(lanes.at(start, UNIT * unit)) for unit in range(units)]


def _store(lanes: Lanes, values: list[Any], start: Any) -> None:
    for unit, value in enumerate(values):
        lanes.store(value, lanes.at(start, UNIT * unit))
