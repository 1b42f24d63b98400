"""Tiles of fewer rows than `ROWS`: the functions of `tile` for the number of rows that are live, and edges of rows."""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.tile import (
    convolve_1,
    convolve_2,
    convolve_4,
    convolve_8,
    correlate_1,
    correlate_2,
    correlate_4,
    correlate_8,
    multiply_1,
    multiply_2,
    multiply_4,
    multiply_8,
)


@njit(inline="always")
def multiply(live, x, start, offsets, packed, weights, depth, bias, row, out, out_at, stride):
    """``multiply_<live>``; the biases begin at ``row``."""
    if live > 4:
        multiply_8(x, start, offsets, packed, weights, depth, bias, row, out, out_at, stride, None)
    elif live > 2:
        multiply_4(x, start, offsets, packed, weights, depth, bias, row, out, out_at, stride, None)
    elif live > 1:
        multiply_2(x, start, offsets, packed, weights, depth, bias, row, out, out_at, stride, None)
    else:
        multiply_1(x, start, offsets, packed, weights, depth, bias, row, out, out_at, stride, None)


@njit(inline="always")
def convolve(live, x, start, offsets, packed, weights, depth, epilogue, row, out, out_at, stride):
    """``convolve_<live>``; the epilogue is that of ``row`` and the following ones."""
    at = 2 * row
    if live > 4:
        convolve_8(x, start, offsets, packed, weights, depth, epilogue, at, out, out_at, stride, None)
    elif live > 2:
        convolve_4(x, start, offsets, packed, weights, depth, epilogue, at, out, out_at, stride, None)
    elif live > 1:
        convolve_2(x, start, offsets, packed, weights, depth, epilogue, at, out, out_at, stride, None)
    else:
        convolve_1(x, start, offsets, packed, weights, depth, epilogue, at, out, out_at, stride, None)


@njit(inline="always")
def correlate(live, lines, pitch, x, start, offsets, first, count, sums, at):
    """``correlate_<live>``."""
    if live > 4:
        correlate_8(lines, pitch, x, start, offsets, first, count, sums, at)
    elif live > 2:
        correlate_4(lines, pitch, x, start, offsets, first, count, sums, at)
    elif live > 1:
        correlate_2(lines, pitch, x, start, offsets, first, count, sums, at)
    else:
        correlate_1(lines, pitch, x, start, offsets, first, count, sums, at)


@njit(inline="always")
def inside(size, stride, first, length):
    """The range of i < length for which ``first + i * stride`` lies in [0, size)."""
    if stride == 1:
        begin = min(length, max(0, -first))
        return begin, min(length, max(begin, size - first))
    begin = min(length, max(0, -(first // stride)))
    return begin, min(length, max(begin, (size - 1 - first) // stride + 1))
