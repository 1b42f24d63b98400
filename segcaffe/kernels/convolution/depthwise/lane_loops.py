"""The compiled loop of `lanes`; arrays are flat, sizes come in a `lanes.Layout`.

The nine factors of a block stay in registers along a row of pixels, each of which is nine vectors of the source.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from segcaffe.jit.compiled import njit
from segcaffe.kernels.convolution.panels.tile import finisher
from segcaffe.kernels.vector.tile import vector_code

_SIDE = 3


@njit(nogil=True, cache=True)
def convolve(source, packed, epilogue, target, layout, start, stop):
    """Compute rows [start, stop) of the target, counted over images, blocks and rows; ``epilogue`` is (table, kind)."""
    (height, width), (rows, columns), lanes = layout.source, layout.target, layout.lanes
    step, low, dilation = layout.stride[0], layout.low[0], layout.dilation[0]
    across = layout.stride[1], layout.low[1], layout.dilation[1], width
    for item in range(start, stop):
        row, plane = item % rows, item // rows
        block = plane % layout.blocks
        first = row * step - low
        from_row = (plane * height + first) * width * lanes
        lines = from_row, dilation * width * lanes, first, dilation, height
        factors = packed, block * _SIDE * _SIDE * lanes
        convolve_row(
            source, lines, across, factors, epilogue, block, (target, item * columns * lanes), columns, layout.inner
        )


@vector_code
def convolve_row(vectors, source, lines, across, factors, epilogue, block, target, columns, inner):
    """One row of pixels of a block of channels.

    ``lines`` is where the row of the first taps begins, how far it is to the next one, its number, the numbers between
    rows, and the source's height; ``across`` is stride, padding and dilation of columns and the source's width.
    ``inner`` are the columns, (first, end), of pixels that see no column outside the source.
    """
    builder, length = vectors.builder, vectors.index(vectors.length)
    (from_row, to_next, number, apart, height), (step, low, dilation, width) = lines, across
    nothing = cgutils.alloca_once_value(builder, vectors.zero)
    zeros = builder.bitcast(nothing, source.type)
    out, weights = vectors.at(*target), vectors.at(*factors)
    taps = [vectors.load(vectors.at(weights, k * vectors.length)) for k in range(_SIDE * _SIDE)]
    finish = finisher(vectors, epilogue, block)
    places, seen = [], []
    for i in range(_SIDE):
        places.append(vectors.at(source, builder.add(from_row, builder.mul(to_next, vectors.index(i)))))
        seen.append(_below(builder, builder.add(number, builder.mul(apart, vectors.index(i))), height))

    def pixel(column: Any, load: Any) -> None:
        first = builder.sub(builder.mul(column, step), low)
        total = vectors.zero
        for k, tap in enumerate(taps):
            at = builder.add(first, builder.mul(dilation, vectors.index(k % _SIDE)))
            total = vectors.multiply_add(tap, load(k // _SIDE, at), total)
        vectors.store(finish(total), vectors.at(out, builder.mul(column, length)))

    def inside(row: int, at: Any) -> Any:
        return vectors.load(vectors.at(places[row], builder.mul(at, length)))

    def anywhere(row: int, at: Any) -> Any:
        there = builder.and_(seen[row], _below(builder, at, width))
        return vectors.load(builder.select(there, vectors.at(places[row], builder.mul(at, length)), zeros))

    first, end = inner
    whole = builder.and_(builder.and_(seen[0], seen[1]), seen[2])
    begin, stop = (builder.select(whole, one, columns) for one in (first, end))
    stop = builder.select(whole, end, columns)
    one = vectors.index(1)
    with cgutils.for_range_slice(builder, vectors.index(0), begin, one, ir.IntType(64)) as (column, _):
        pixel(column, anywhere)
    with cgutils.for_range_slice(builder, begin, stop, one, ir.IntType(64)) as (column, _):
        pixel(column, inside)
    with cgutils.for_range_slice(builder, stop, columns, one, ir.IntType(64)) as (column, _):
        pixel(column, anywhere)


def _below(builder: Any, value: Any, limit: Any) -> Any:
    """Whether a number lies in [0, limit)."""
    return builder.icmp_unsigned("<", value, limit)
