"""Maxima of windows without their places, as nets need them that do not learn.

Windows 1 apart, of any size and dilation, and windows of 2 or 3 pixels 2 apart are vector code for rows of any length;
lanes outside the image are not read. Others go down the window first, then across.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from segcaffe.jit.compiled import njit
from segcaffe.kernels.pooling import windows
from segcaffe.kernels.pooling.loops import Row, taps_of_row
from segcaffe.kernels.vector.tile import vector_code

_INT, _INDEX = ir.IntType(32), ir.IntType(64)


def _larger(row: Row, held: Any, value: Any) -> Any:
    """The larger of each two; where one is no number the one that is held."""
    return row.builder.select(row.builder.fcmp_ordered(">", value, held), value, held)


def _make_neighbours(taps: int) -> Any:
    """Code for one row of windows 1 apart, of ``taps`` pixels, or of any number where that is 0."""

    @vector_code
    def row_maxima(vectors, pixels, start, rows, width, columns, top, to, count):
        """Maxima of one row of windows.

        ``rows`` are their number, and how far apart; the first begins at ``start``. ``columns`` are that of the first
        pixel of the first window, how many pixels it has, and how far apart. ``count`` values are written to ``to``.
        """
        row, builder = Row(vectors), vectors.builder
        source, target = vectors.at(pixels, start), vectors.at(top, to)
        (number, step), (left, kernel, dilation) = rows, columns
        width32, count32 = builder.trunc(width, _INT), builder.trunc(count, _INT)
        held = cgutils.alloca_once(builder, row.type)

        def look(column: Any, shifts: Sequence[int]) -> None:
            """Raise what is held to the pixels of some neighbouring columns."""
            numbers = [row.from_start(builder.trunc(column, _INT), 1)]
            numbers += [builder.add(numbers[0], row.from_start(_INT(shift), 0)) for shift in shifts[1:]]
            lanes = [row.below(number, width32) for number in numbers]
            with cgutils.for_range(builder, number) as line:
                place = vectors.at(source, builder.add(builder.mul(line.index, step), column))
                best = builder.load(held)
                for shift, inside in zip(shifts, lanes, strict=True):
                    best = _larger(row, best, row.load(vectors.at(place, shift), inside, row.lowest))
                builder.store(best, held)

        with cgutils.for_range_slice(builder, _INDEX(0), count, _INDEX(row.length), _INDEX) as (first, _):
            builder.store(row.lowest, held)
            column = builder.add(left, first)
            if taps:
                look(column, range(taps))
            else:
                with cgutils.for_range(builder, kernel) as tap:
                    look(builder.add(column, builder.mul(tap.index, dilation)), [0])
            inside = row.below(row.from_start(builder.trunc(first, _INT), 1), count32)
            row.store(builder.load(held), vectors.at(target, first), inside)

    return row_maxima


def _make_maxima(size: int) -> Any:
    @vector_code
    def row_maxima(vectors, pixels, start, rows, width, left, top, to, count):
        """Maxima of one row of windows of ``size`` pixels, 2 apart, the first at column ``left``; see there."""
        row, builder = Row(vectors), vectors.builder
        source, target = vectors.at(pixels, start), vectors.at(top, to)
        width32, count32 = builder.trunc(width, _INT), builder.trunc(count, _INT)
        held = cgutils.alloca_once(builder, row.type)
        with cgutils.for_range_slice(builder, _INDEX(0), count, _INDEX(row.length), _INDEX) as (first, _):
            column = builder.add(left, builder.mul(first, _INDEX(2)))
            builder.store(row.lowest, held)
            with cgutils.for_range(builder, rows) as line:
                place = vectors.at(source, builder.add(builder.mul(line.index, width), column))
                best = builder.load(held)
                for value in taps_of_row(row, size, place, builder.trunc(column, _INT), width32, row.lowest):
                    best = _larger(row, best, value)
                builder.store(best, held)
            inside = row.below(row.from_start(builder.trunc(first, _INT), 1), count32)
            row.store(builder.load(held), vectors.at(target, first), inside)

    return row_maxima


_row_of_neighbours, _row_of_three_neighbours = _make_neighbours(0), _make_neighbours(3)
_row_of_pairs, _row_of_threes = _make_maxima(2), _make_maxima(3)


@njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _has_lowest(values, start, stop):
    """Whether a value is minus infinity."""
    found = False
    for i in range(start, stop):
        found |= values[i] == -np.inf
    return found


# Each kind of window has a function of its own: a net mostly has one, and compiles no other.
@njit(nogil=True, cache=True)
def maxima_1_apart(image, top, window, start, stop):
    """`maxima` of windows that are 1 apart across."""
    kh, kw, sh, _, ph, pw, dh, dw = window
    _, height, width = image.shape
    _, rows, columns = top.shape
    pixels, values = image.reshape(-1), top.reshape(-1)
    for plane in range(start, stop):
        base, to = plane * height * width, plane * rows * columns
        for oy in range(rows):
            first, last = windows.reach(oy, kh, sh, ph, height, dh)
            lines, across = (max(0, last - first + dh - 1) // dh, dh * width), (-pw, kw, dw)
            at, target = base + first * width, to + oy * columns
            if kw == 3 and dw == 1:
                _row_of_three_neighbours(pixels, at, lines, width, across, values, target, columns)
            else:
                _row_of_neighbours(pixels, at, lines, width, across, values, target, columns)
        _mend(image, values, top.shape, window, plane)


@njit(nogil=True, cache=True)
def maxima_2_apart(image, top, window, start, stop):
    """`maxima` of windows of 2 or 3 columns next to each other that are 2 apart across, of rows next to each other."""
    kh, kw, sh, _, ph, pw, _, _ = window
    _, height, width = image.shape
    _, rows, columns = top.shape
    pixels, values = image.reshape(-1), top.reshape(-1)
    for plane in range(start, stop):
        base, to = plane * height * width, plane * rows * columns
        for oy in range(rows):
            first, last = windows.reach(oy, kh, sh, ph, height, 1)
            count, at, target = max(0, last - first), base + first * width, to + oy * columns
            if kw == 2:
                _row_of_pairs(pixels, at, count, width, -pw, values, target, columns)
            else:
                _row_of_threes(pixels, at, count, width, -pw, values, target, columns)
        _mend(image, values, top.shape, window, plane)


@njit(nogil=True, cache=True)
def maxima(image, top, window, start, stop):
    """Maxima of planes start..stop: ``window`` is kernel, stride, pad and dilation for (height, width)."""
    kh, kw, sh, sw, ph, pw, dh, dw = window
    _, height, width = image.shape
    best = np.empty(width, image.dtype)
    for plane in range(start, stop):
        for oy in range(top.shape[1]):
            first, last = windows.reach(oy, kh, sh, ph, height, dh)
            _across(image[plane], (first, last, dh), (kw, sw, pw, dw), best, top[plane, oy])
        _mend(image, top.reshape(-1), top.shape, window, plane)


@njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _mend(image, values, shape, window, plane):
    """Of a plane: the values of windows without a number, or of none but minus infinity."""
    kh, kw, sh, sw, ph, pw, dh, dw = window
    _, height, width = image.shape
    _, rows, columns = shape
    to = plane * rows * columns
    if not _has_lowest(values, to, to + rows * columns):
        return
    for i in range(to, to + rows * columns):
        if values[i] == -np.inf:
            oy, ox = (i - to) // columns, (i - to) % columns
            down = (*windows.reach(oy, kh, sh, ph, height, dh), dh)
            along = (*windows.reach(ox, kw, sw, pw, width, dw), dw)
            values[i], _ = windows.window_maximum(image[plane], down, along)


@njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _across(image, rows, columns, best, out):
    """One row of maxima of windows any distance apart; ``columns`` are kernel, stride, pad and dilation."""
    kernel, stride, pad, dilation = columns
    best[:] = -np.inf
    for y in range(rows[0], rows[1], rows[2]):
        row = image[y]
        for x in range(best.size):
            best[x] = row[x] if row[x] > best[x] else best[x]
    out[:] = -np.inf
    for i in range(kernel):
        low, high = windows.inside(i * dilation - pad, stride, best.size, out.size)
        for ox in range(low, high):
            value = best[ox * stride + i * dilation - pad]
            out[ox] = value if value > out[ox] else out[ox]


@njit(nogil=True, cache=True)
def means_of_planes(image, top, start, stop):
    """The mean of each of the planes start..stop of ``image`` (planes, pixels), into ``top`` (planes,)."""
    for plane in range(start, stop):
        top[plane] = windows.total(image[plane]) / image.dtype.type(image.shape[1])
