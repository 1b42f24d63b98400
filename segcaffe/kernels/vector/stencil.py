"""The innermost loops over the neighbours of a pixel, written for the register file.

Each function here works on a run of neighbouring pixels of one row, as many as a vector register has elements
(`run_length`), and keeps its sums in registers. Neighbours are found by constant offsets into a copy of the image whose
rows have a margin of zeros on both sides (`Rows`), so that no run needs to know where the image ends.

``gather_<rows>``, ``gather_differences_<rows>``, ``gather_signs_<rows>``
    ``out[r, p] = sum_k weight[k, p] * f(x[r, p], x[r, p + offset k])`` for some rows (channels) r; f is the neighbour,
    the pixel minus the neighbour, or the sign of that.
``compare_products``, ``compare_squares``, ``compare_distances``
    ``out[k, p] = sum_c f(a[c, p], x[c, p + offset k])`` for `OFFSETS` offsets k; f is the product, the squared
    difference, or its absolute value.

All take flat arrays of one dtype with start indices, are callable from compiled kernels only, and check nothing.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.scratch import scratch
from segcaffe.kernels.vector.tile import Vectors, clear_run, copy_run, sum_loop, vector_code, vector_length
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
Term = Callable[[Vectors, Any, Any, Any], Any]
"""From a pixel, a neighbour and the sum so far to the new sum."""

OFFSETS = 8
"""Neighbours that ``compare_*`` takes at a time."""
MANY_ROWS = 7
"""Rows that the larger ``gather_*`` takes at a time."""
run_length = vector_length


@dataclass(frozen=True)
class Rows:
    """A copy of images (N, C, H, W) as (N, H, C, pitch), each row with ``margin`` zeros before and behind it."""

    flat: Array
    channels: int
    height: int
    margin: int
    pitch: int

    @classmethod
    def of(cls, images: Array, margin: int, name: str) -> Rows:
        """Copy images into the calling thread's scratch memory called ``name``."""
        n, channels, height, width = images.shape
        pitch = width + 2 * margin
        rows = cls(scratch(name, n * height * channels * pitch, images.dtype), channels, height, margin, pitch)
        grain = 1 + 50_000 // max(1, channels * pitch)
        parallel.run(n * height, lambda a, b: _copy_rows(images, rows.flat, margin, a, b), grain)
        return rows

    @property
    def step(self) -> int:
        """Elements from a row to that below it."""
        return self.channels * self.pitch


@njit(nogil=True, cache=True)
def _copy_rows(images, flat, margin, start, stop):
    _, channels, height, width = images.shape
    source = images.reshape(-1)
    pitch = width + 2 * margin
    for row in range(start, stop):
        n, y = row // height, row % height
        for c in range(channels):
            at = (row * channels + c) * pitch
            clear_run(flat, at, margin)
            copy_run(flat, at + margin, source, ((n * channels + c) * height + y) * width, width)
            clear_run(flat, at + margin + width, margin)


def fetch(vectors: Vectors, pointer: Any) -> None:
    """Have a line of memory brought into the first-level cache; any address will do."""
    where = vectors.builder.bitcast(pointer, ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [where.type, *[ir.IntType(32)] * 3])
    function = cgutils.get_or_insert_function(vectors.builder.module, kind, "llvm.prefetch.p0")
    vectors.builder.call(function, [where, *(ir.IntType(32)(flag) for flag in (0, 3, 1))])


def _product(vectors, a, b, total):
    return vectors.multiply_add(a, b, total)


def _square(vectors, a, b, total):
    difference = vectors.builder.fsub(a, b)
    return vectors.multiply_add(difference, difference, total)


def _distance(vectors, a, b, total):
    builder = vectors.builder
    difference = builder.fsub(a, b)
    kind = ir.FunctionType(vectors.type, [vectors.type])
    name = f"llvm.fabs.v{vectors.length}{'f32' if vectors.type.element == ir.FloatType() else 'f64'}"
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.fadd(total, builder.call(function, [difference]))


def _neighbour(vectors, own, other):
    return other


def _difference(vectors, own, other):
    return vectors.builder.fsub(own, other)


def _sign(vectors, own, other):
    builder = vectors.builder
    one, zero = vectors.constant(1.0), vectors.constant(0.0)
    above = builder.select(builder.fcmp_ordered(">", own, other), one, zero)
    return builder.select(builder.fcmp_ordered("<", own, other), vectors.constant(-1.0), above)


def _make_gather(rows: int, value: Callable[[Vectors, Any, Any], Any]) -> Any:
    @vector_code
    def gather(vectors, x, x_at, x_step, offsets, weight, weight_at, places, count, out, out_at, out_step):
        """Run of ``out[out_at + r * out_step]`` from ``weight[weight_at + places[k]]``, ``x[x_at + offsets[k]]``."""
        builder, x, weight = vectors.builder, vectors.at(x, x_at), vectors.at(weight, weight_at)
        lines = [builder.mul(x_step, vectors.index(row)) for row in range(rows)]
        own = [vectors.load(vectors.at(x, line)) for line in lines]

        def step(k, totals):
            place = vectors.at(weight, builder.load(vectors.at(places, k)))
            factor = vectors.load(place)
            # Those of the run after the next: each tap has lines of its own, more of them than the processor foresees.
            fetch(vectors, vectors.at(place, 2 * vectors.length))
            source = vectors.at(x, builder.load(vectors.at(offsets, k)))
            sums = []
            for line, pixel, total in zip(lines, own, totals, strict=True):
                other = vectors.load(vectors.at(source, line))
                sums.append(vectors.multiply_add(factor, value(vectors, pixel, other), total))
            return sums

        for row, total in enumerate(sum_loop(vectors, count, [vectors.zero] * rows, step)):
            vectors.store(total, vectors.at(vectors.at(out, out_at), builder.mul(out_step, vectors.index(row))))

    return gather


def _make_compare(term: Term) -> Any:
    @vector_code
    def compare(vectors, a, a_at, a_step, x, x_at, x_step, offsets, first, count, out, out_at, out_step):
        """Run of ``out[out_at + k * out_step]`` over ``a[a_at + c * a_step]``, ``x[x_at + c * x_step + offset k]``."""
        builder, a, x, offsets = vectors.builder, vectors.at(a, a_at), vectors.at(x, x_at), vectors.at(offsets, first)
        sources = [vectors.at(x, builder.load(vectors.at(offsets, k))) for k in range(OFFSETS)]

        def step(c, totals):
            own = vectors.load(vectors.at(a, builder.mul(a_step, c)))
            line = builder.mul(x_step, c)
            others = [vectors.load(vectors.at(source, line)) for source in sources]
            return [term(vectors, own, other, total) for other, total in zip(others, totals, strict=True)]

        for k, value in enumerate(sum_loop(vectors, count, [vectors.zero] * OFFSETS, step)):
            vectors.store(value, vectors.at(vectors.at(out, out_at), builder.mul(out_step, vectors.index(k))))

    return compare


gather_1, gather_7 = (_make_gather(rows, _neighbour) for rows in (1, MANY_ROWS))
gather_differences_1, gather_differences_7 = (_make_gather(rows, _difference) for rows in (1, MANY_ROWS))
gather_signs_1, gather_signs_7 = (_make_gather(rows, _sign) for rows in (1, MANY_ROWS))
compare_products, compare_squares, compare_distances = map(_make_compare, (_product, _square, _distance))
