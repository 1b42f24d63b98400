"""The compiled loop of `lanes`; arrays are flat, sizes come in a `lanes.Layout`.

The nine factors of a block stay in registers along a row of pixels, or along two rows, which share most of what they
read.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from segcaffe.jit.compiled import njit
from segcaffe.kernels.convolution.panels.tile import finisher
from segcaffe.kernels.vector.tile import Vectors, vector_code

_SIDE = 3
PAIR = 2
"""Rows of a piece of work."""


@njit(nogil=True, cache=True)
def convolve(source, packed, epilogue, target, layout, start, stop):
    """Compute pairs of rows [start, stop) of the target, counted over images, blocks and an image's pairs.

    ``epilogue`` is (table, kind).
    """
    (height, width), (rows, columns), lanes = layout.source, layout.target, layout.lanes
    step, low, dilation = layout.stride[0], layout.low[0], layout.dilation[0]
    across = layout.stride[1], layout.low[1], layout.dilation[1], width
    pairs = (rows + 1) // PAIR
    for item in range(start, stop):
        row, plane = item % pairs * PAIR, item // pairs
        block = plane % layout.blocks
        factors = packed, block * _SIDE * _SIDE * lanes
        many = min(PAIR, rows - row)
        while many > 0:
            first = row * step - low
            lines = (plane * height + first) * width * lanes, dilation * width * lanes, first, dilation, height
            out = target, (plane * rows + row) * columns * lanes
            if many == PAIR and step == 1 and dilation == 1:
                convolve_rows(source, lines, across, factors, epilogue, block, out, columns, layout.inner)
                many = 0
            else:
                convolve_row(source, lines, across, factors, epilogue, block, out, columns, layout.inner)
                row, many = row + 1, many - 1


def _make_convolve(rows: int) -> Any:
    """Rows of pixels of a block of channels; several have a stride and a dilation of 1."""

    @vector_code
    def convolve(vectors, source, lines, across, factors, epilogue, block, target, columns, inner):
        """Compute a run of pixels, over one line of the target or two.

        ``lines`` is where the row of the first taps begins, how far it is to the next one, its number, the numbers
        between rows, and the source's height; ``across`` is stride, padding and dilation of columns and the source's
        width. ``inner`` are the columns, (first, end), of pixels that see no column outside the source.
        """
        builder, length = vectors.builder, vectors.index(vectors.length)
        (from_row, to_next, number, apart, height), (step, low, dilation, width) = lines, across
        out, weights = vectors.at(*target), vectors.at(*factors)
        taps = [vectors.load(vectors.at(weights, k * vectors.length)) for k in range(_SIDE * _SIDE)]
        finish = finisher(vectors, epilogue, block)
        outs = [vectors.at(out, builder.mul(columns, vectors.index(row * vectors.length))) for row in range(rows)]
        nothing = builder.bitcast(cgutils.alloca_once_value(builder, vectors.zero), source.type)
        # All of a row outside the source is the same zeros, to which no offset is added.
        places, masks = [], []
        for i in range(_SIDE + rows - 1):
            there = _below(builder, builder.add(number, builder.mul(apart, vectors.index(i))), height)
            place = vectors.at(source, builder.add(from_row, builder.mul(to_next, vectors.index(i))))
            places.append(builder.select(there, place, nothing))
            masks.append(builder.select(there, vectors.index(-1), vectors.index(0)))

        def pixels(column: Any, place: Callable[[int, Any], Any]) -> None:
            first = builder.sub(builder.mul(column, step), low)
            at = [builder.add(first, builder.mul(dilation, vectors.index(j))) for j in range(_SIDE)]
            values = [[vectors.load(place(i, one)) for one in at] for i in range(len(places))]
            for row in range(rows):
                total = _sum(vectors, taps, [value for line in values[row : row + _SIDE] for value in line])
                vectors.store(finish(total), vectors.at(outs[row], builder.mul(column, length)))

        def inside(line: int, at: Any) -> Any:
            return vectors.at(places[line], builder.and_(builder.mul(at, length), masks[line]))

        def anywhere(line: int, at: Any) -> Any:
            return builder.select(_below(builder, at, width), inside(line, at), nothing)

        begin, end = inner
        for first, last, place in ((vectors.index(0), begin, anywhere), (begin, end, inside), (end, columns, anywhere)):
            with cgutils.for_range_slice(builder, first, last, vectors.index(1), ir.IntType(64)) as (column, _):
                pixels(column, place)

    return convolve


convolve_row, convolve_rows = _make_convolve(1), _make_convolve(PAIR)


def _sum(vectors: Vectors, factors: list[Any], values: list[Any]) -> Any:
    total = vectors.zero
    for factor, value in zip(factors, values, strict=True):
        total = vectors.multiply_add(factor, value, total)
    return total


def _below(builder: Any, value: Any, limit: Any) -> Any:
    """Whether a number lies in [0, limit)."""
    return builder.icmp_unsigned("<", value, limit)
