"""Tiles of the weights' gradient: columns in the lanes, positions one after the other.

A column is a channel of the image at one tap; `ROWS` channels at a tap are a group, and a panel is as many groups as
make a strip of lanes. Arrays are flat and of one dtype; nothing checks that panels and tiles lie inside them.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from typing import Any

from numba.core import cgutils

from segcaffe.kernels.vector.lanes import lanes_code
from segcaffe.kernels.vector.tile import ROWS, STREAMS, sum_loop, vector_code


@lanes_code
def mask_group(lanes, panel, at, step, source, start, mask, mask_at, count):
    """``panel[at + p * step + lane] = mask[mask_at + p] * source[start + p * ROWS + lane]`` for p < count."""
    builder, to = lanes.builder, lanes.at(panel, at)
    come_from, factors = lanes.at(source, start), lanes.at(mask, mask_at)
    with cgutils.for_range_slice(builder, lanes.index(0), count, lanes.index(1)) as (p, _):
        values = lanes.load(lanes.at(come_from, builder.mul(p, lanes.index(ROWS))))
        factor = lanes.splat(builder.load(lanes.at(factors, p)))
        lanes.store(builder.fmul(factor, values), lanes.at(to, builder.mul(p, step)))


@vector_code
def add_products(vectors, panel, rows, rows_at, count, sums, sums_at):
    """``sums[r, lane] += sum over p < count of rows[rows_at + p * ROWS + r] * panel[p, lane]``; count >= 1."""
    builder, width = vectors.builder, STREAMS * vectors.length

    def step(p: Any, sums: list[Any]) -> list[Any]:
        line = vectors.at(panel, builder.mul(p, vectors.index(width)))
        streams = [vectors.load(vectors.at(line, v * vectors.length)) for v in range(STREAMS)]
        factors, totals = vectors.at(vectors.at(rows, rows_at), builder.mul(p, vectors.index(ROWS))), []
        for row in range(ROWS):
            factor = vectors.splat(builder.load(vectors.at(factors, row)))
            pairs = zip(streams, sums[row * STREAMS : (row + 1) * STREAMS], strict=True)
            totals += [vectors.multiply_add(factor, value, total) for value, total in pairs]
        return totals

    target = vectors.at(sums, sums_at)
    for n, value in enumerate(sum_loop(vectors, count, [vectors.zero] * (ROWS * STREAMS), step)):
        place = vectors.at(target, n * vectors.length)
        vectors.store(builder.fadd(vectors.load(place), value), place)
