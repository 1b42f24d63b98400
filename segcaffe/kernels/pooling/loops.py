"""Small windows 2 apart, in vector code for rows of any length: maxima, means, and the gradient of means.

A vector of neighbouring windows reads two vectors of pixels of each row, takes every other lane, and again from the
third pixel on where windows have three. Lanes outside the image are not read and hold what changes nothing. The
gradient of means is gathered: each pixel adds those of the windows that hold it, in reading order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.tile import Vectors, vector_code

NOWHERE = 2**31 - 1
"""The place of the maximum of a window without a number."""
_INT, _INDEX = ir.IntType(32), ir.IntType(64)


class Row:
    """Building blocks for one row of windows: vectors of pixels, of places, and of which lanes are meant."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self.builder, self.length, self.type = vectors.builder, vectors.length, vectors.type
        self.places = ir.VectorType(_INT, self.length)
        self.lanes = ir.VectorType(ir.IntType(1), self.length)
        self.lowest = ir.Constant(self.type, [float("-inf")] * self.length)
        self.code = "f32" if vectors.itemsize == 4 else "f64"

    def from_start(self, start: Any, step: int) -> Any:
        """``start``, ``start + step`` and so on."""
        empty = ir.Constant(self.places, ir.Undefined)
        first = self.builder.insert_element(empty, start, _INT(0))
        everywhere = self.vectors.shuffle(first, empty, [0] * self.length)
        return self.builder.add(everywhere, ir.Constant(self.places, [step * i for i in range(self.length)]))

    def below(self, numbers: Any, limit: Any) -> Any:
        """The lanes whose number lies in [0, limit)."""
        return self.builder.icmp_unsigned("<", numbers, self.from_start(limit, 0))

    def load(self, pointer: Any, lanes: Any, missing: Any) -> Any:
        """The lanes asked for; those of ``missing`` in the others, whose memory is not touched."""
        return self._masked("load", 0, missing.type, missing.type, [pointer, _INT(4), lanes, missing])

    def store(self, value: Any, pointer: Any, lanes: Any) -> None:
        """Write the lanes asked for."""
        self._masked("store", 1, ir.VoidType(), value.type, [value, pointer, _INT(4), lanes])

    def _masked(self, name: str, place: int, result: Any, kind: Any, arguments: list[Any]) -> Any:
        arguments[place] = self.builder.bitcast(arguments[place], kind.as_pointer())
        code = "i32" if kind is self.places else self.code
        signature = ir.FunctionType(result, [argument.type for argument in arguments])
        full = f"llvm.masked.{name}.v{self.length}{code}.p0"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, signature, full), arguments)

    def raise_to(self, held: tuple[Any, Any], value: Any, place: Any) -> tuple[Any, Any]:
        """The larger values and their places; of equal ones, and of NaN, those that are held stay."""
        higher = self.builder.fcmp_ordered(">", value, held[0])
        return self.builder.select(higher, value, held[0]), self.builder.select(higher, place, held[1])


def _every_other(row: Row, pointer: Any, lanes: list[Any], first: int, missing: Any) -> Any:
    """Pixels ``first``, ``first + 2`` and so on behind an address; ``lanes`` says which of two vectors are meant."""
    halves = [row.load(row.vectors.at(pointer, i * row.length), lanes[i], missing) for i in (0, 1)]
    return row.vectors.shuffle(halves[0], halves[1], list(range(first, 2 * row.length, 2)))


def taps_of_row(row: Row, size: int, pointer: Any, column: Any, width: Any, missing: Any) -> list[Any]:
    """The pixels of one row of windows, the first of which begins at ``column``: a vector for each tap."""
    lanes, ahead = (
        [row.below(row.from_start(row.builder.add(column, _INT(shift + i * row.length)), 1), width) for i in (0, 1)]
        for shift in (0, 2)
    )
    taps = [_every_other(row, pointer, lanes, i, missing) for i in (0, 1)]
    if size == 3:
        taps.append(_every_other(row, row.vectors.at(pointer, 2), ahead, 0, missing))
    return taps


def _areas(row: Row, size: int, extent: Any, column: Any, end: Any) -> Any:
    """Pixels of a vector of windows of which the first begins at ``column``, padding up to ``end`` counted."""
    builder = row.builder
    starts = row.from_start(column, 2)
    stops, limit = builder.add(starts, row.from_start(_INT(size), 0)), row.from_start(end, 0)
    stops = builder.select(builder.icmp_signed("<", stops, limit), stops, limit)
    area = builder.mul(builder.sub(stops, starts), row.from_start(extent, 0))
    one = row.from_start(_INT(1), 0)
    return builder.sitofp(builder.select(builder.icmp_signed("<", area, one), one, area), row.type)


def _narrow(builder: Any, *values: Any) -> list[Any]:
    return [builder.trunc(value, _INT) for value in values]


def _make_maxima(size: int) -> Any:
    """Maxima of one row of windows.

    ``rows`` rows of the ``width`` pixels of the plane at ``base`` follow ``start``, the place in it where its first row
    begins that the windows reach; ``left`` is the column at which the first window begins. ``count`` values and their
    places in the plane are written to ``top`` and ``mask`` from ``to`` on.
    """

    @vector_code
    def row_maxima(vectors, pixels, base, start, rows, width, left, top, mask, to, count):
        row, builder = Row(vectors), vectors.builder
        source, targets = vectors.at(pixels, base), [vectors.at(array, to) for array in (top, mask)]
        width32, count32 = _narrow(builder, width, count)
        held = [cgutils.alloca_once(builder, kind) for kind in (row.type, row.places)]
        with cgutils.for_range_slice(builder, _INDEX(0), count, _INDEX(row.length), _INDEX) as (first, _):
            column = builder.add(left, builder.mul(first, _INDEX(2)))
            builder.store(row.lowest, held[0])
            builder.store(row.from_start(_INT(NOWHERE), 0), held[1])
            with cgutils.for_range(builder, rows) as loop:
                place = builder.add(builder.add(start, builder.mul(loop.index, width)), column)
                taps = taps_of_row(
                    row, size, vectors.at(source, place), _narrow(builder, column)[0], width32, row.lowest
                )
                best = builder.load(held[0]), builder.load(held[1])
                for i, value in enumerate(taps):
                    best = row.raise_to(
                        best, value, row.from_start(builder.add(_narrow(builder, place)[0], _INT(i)), 2)
                    )
                for value, where in zip(best, held, strict=True):
                    builder.store(value, where)
            inside = row.below(row.from_start(_narrow(builder, first)[0], 1), count32)
            for where, target in zip(held, targets, strict=True):
                row.store(builder.load(where), vectors.at(target, first), inside)

    return row_maxima


def _make_means(size: int) -> Any:
    """Means of one row of windows, as `_make_maxima`; ``extent`` rows and columns up to ``end`` count as pixels."""

    @vector_code
    def row_means(vectors, pixels, start, rows, width, left, extent, end, top, to, count):
        row, builder = Row(vectors), vectors.builder
        source, target = vectors.at(pixels, start), vectors.at(top, to)
        width32, count32, extent32, end32 = _narrow(builder, width, count, extent, end)
        total = cgutils.alloca_once(builder, row.type)
        with cgutils.for_range_slice(builder, _INDEX(0), count, _INDEX(row.length), _INDEX) as (first, _):
            column = builder.add(left, builder.mul(first, _INDEX(2)))
            column32, first32 = _narrow(builder, column, first)
            builder.store(vectors.zero, total)
            with cgutils.for_range(builder, rows) as loop:
                pointer = vectors.at(source, builder.add(builder.mul(loop.index, width), column))
                for value in taps_of_row(row, size, pointer, column32, width32, vectors.zero):
                    builder.store(builder.fadd(builder.load(total), value), total)
            mean = builder.fdiv(builder.load(total), _areas(row, size, extent32, column32, end32))
            inside = row.below(row.from_start(first32, 1), count32)
            row.store(mean, vectors.at(target, first), inside)

    return row_means


def _make_gradient(size: int) -> Any:
    """Gradient of one row of pixels from the rows of windows that hold it, ``rows`` of them from ``start`` on.

    ``grad`` is that of the windows, ``count`` a row; the first one begins at column ``left``. Means are over
    ``extents[r]`` rows, and columns up to ``end``. The row of ``width`` pixels is written to ``out`` from ``to`` on.
    """

    @vector_code
    def row_gradient(vectors, grad, start, rows, count, left, extents, end, out, to, width):
        row, builder = Row(vectors), vectors.builder
        grads, target = vectors.at(grad, start), vectors.at(out, to)
        width32, count32, end32, left32 = _narrow(builder, width, count, end, left)
        totals = [cgutils.alloca_once(builder, row.type) for _ in range(2)]

        def add(parities: tuple[int, ...], number: Any, at: Any, extent: Any) -> None:
            """Add shares of the gradients of windows, from ``number`` on, to the even or the odd pixels."""
            (number32,) = _narrow(builder, number)
            lanes = row.below(row.from_start(number32, 1), count32)
            value = row.load(vectors.at(grads, builder.add(at, number)), lanes, vectors.zero)
            column = builder.add(left32, builder.mul(number32, _INT(2)))
            share = builder.fdiv(value, _areas(row, size, extent, column, end32))
            for parity in parities:
                builder.store(builder.fadd(builder.load(totals[parity]), share), totals[parity])

        pixels = builder.sub(width, left)
        with cgutils.for_range_slice(builder, _INDEX(0), pixels, _INDEX(2 * row.length), _INDEX) as (pixel, _):
            first = builder.udiv(pixel, _INDEX(2))
            for total in totals:
                builder.store(vectors.zero, total)
            with cgutils.for_range(builder, rows) as loop:
                at = builder.mul(loop.index, count)
                (extent,) = _narrow(builder, builder.load(vectors.at(extents, loop.index)))
                if size == 3:
                    # The third pixel of the windows one before.
                    add((0,), builder.sub(first, _INDEX(1)), at, extent)
                add((0, 1), first, at, extent)
            for i in range(2):
                half = range(i * row.length // 2, (i + 1) * row.length // 2)
                lanes = [parity * row.length + lane for lane in half for parity in (0, 1)]
                value = vectors.shuffle(builder.load(totals[0]), builder.load(totals[1]), lanes)
                column = builder.add(left, builder.add(pixel, _INDEX(i * row.length)))
                inside = row.below(row.from_start(_narrow(builder, column)[0], 1), width32)
                row.store(value, vectors.at(target, column), inside)

    return row_gradient


_maxima_2, _maxima_3 = _make_maxima(2), _make_maxima(3)
_means_2, _means_3 = _make_means(2), _make_means(3)
_gradient_2, _gradient_3 = _make_gradient(2), _make_gradient(3)


@njit(nogil=True, cache=True)
def max_windows(image, top, mask, size, pads, start, stop):
    """Maxima of the windows of planes start..stop, 2 apart, of ``size`` (2 or 3) rows and columns.

    ``image`` is (planes, H, W), ``top`` and ``mask`` (planes, H', W'), all contiguous. A window without a number gets
    the place `NOWHERE`, and any value.
    """
    _, height, width = image.shape
    _, rows, columns = top.shape
    pixels, values, places = image.reshape(-1), top.reshape(-1), mask.reshape(-1)
    for plane in range(start, stop):
        base, to, left = plane * height * width, plane * rows * columns, -pads[1]
        for oy in range(rows):
            first, last = max(0, 2 * oy - pads[0]), min(height, 2 * oy - pads[0] + size)
            at, reach, target = first * width, max(0, last - first), to + oy * columns
            if size == 2:
                _maxima_2(pixels, base, at, reach, width, left, values, places, target, columns)
            else:
                _maxima_3(pixels, base, at, reach, width, left, values, places, target, columns)


@njit(nogil=True, cache=True)
def mean_windows(image, top, size, pads, start, stop):
    """Means of such windows, by their size, padding included, but not what hangs over beyond it."""
    _, height, width = image.shape
    _, rows, columns = top.shape
    pixels, values = image.reshape(-1), top.reshape(-1)
    for plane in range(start, stop):
        base, to, left, end = plane * height * width, plane * rows * columns, -pads[1], width + pads[1]
        for oy in range(rows):
            first = 2 * oy - pads[0]
            extent = min(first + size, height + pads[0]) - first
            first, last = max(0, first), min(height, first + size)
            at, reach, target = base + first * width, max(0, last - first), to + oy * columns
            if size == 2:
                _means_2(pixels, at, reach, width, left, extent, end, values, target, columns)
            else:
                _means_3(pixels, at, reach, width, left, extent, end, values, target, columns)


@njit(nogil=True, cache=True)
def gradient_of_means(grad, image_grad, size, pads, start, stop):
    """Gradient of `mean_windows`: ``grad`` is (planes, H', W'), ``image_grad`` (planes, H, W) is written whole."""
    _, height, width = image_grad.shape
    _, rows, columns = grad.shape
    grads, out = grad.reshape(-1), image_grad.reshape(-1)
    extents = np.empty(2, np.int64)
    for plane in range(start, stop):
        base, left, end = plane * rows * columns, -pads[1], width + pads[1]
        for y in range(height):
            # The rows of windows that begin at y or up to size - 1 rows above.
            first, last = max(0, (y + pads[0] - size + 2) // 2), min(rows, (y + pads[0]) // 2 + 1)
            for oy in range(first, last):
                extents[oy - first] = min(2 * oy + size, height + 2 * pads[0]) - 2 * oy
            at, reach, to = base + first * columns, max(0, last - first), (plane * height + y) * width
            if size == 2:
                _gradient_2(grads, at, reach, columns, left, extents, end, out, to, width)
            else:
                _gradient_3(grads, at, reach, columns, left, extents, end, out, to, width)
