"""The innermost loops over pairs of pixels: sums of one or two rows of pixels at a time, in vector registers.

Two rows whose distance is the window's dilation have all but one of their windows' rows in common. Taken together they
load a neighbour once for both: most neighbours cross a cache line, and loading those limits the loops otherwise.

``gather_<rows>``, ``gather_differences_<rows>``
    ``out[s, r, p] += sum_k weight[place k of s + p] * f(x[r, p + offset k])`` for rows s of pixels and as many lines r
    (channels) as the tuple ``lines`` has elements; f is the neighbour, or the pixel minus the neighbour.
``compare_squares_<rows>``, ``compare_products_<rows>``
    ``out[s, k, p] += sum_c f(a[s, c, p], x[c, p + k * shift])`` for as many k as the tuple ``taps`` has elements; f is
    the squared difference, or the product, to which the one with a and x exchanged is added.

p are the pixels of one vector register. A table has three numbers a tap: the offset, and the places for both rows. All
arrays are flat, lines lie ``step`` apart; callable from compiled kernels only, nothing is checked.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from segcaffe.kernels.vector.stencil import fetch
from segcaffe.kernels.vector.tile import _MANY_REGISTERS, Vectors, sum_loop, vector_code

LINES, DIFFERENCES, OFFSETS = (12, 6, 13) if _MANY_REGISTERS else (5, 2, 5)
"""Lines, lines with their own pixels too, and neighbours, whose sums for two rows of pixels fit the registers."""
TABLE = 3
"""Numbers of a tap in a table."""
_NEAR = 8
"""Lines that are addressed from one base, so that all addresses of a loop stay in registers."""

Add = Callable[[Any, list[Any]], list[Any]]
"""A step of `sum_loop`."""


def _lines(vectors: Vectors, base: Any, steps: list[Any], count: int) -> list[Any]:
    """Addresses of ``count`` lines from ``base`` on; ``steps`` are the distances of the first `_NEAR` + 1."""
    addresses = []
    for line in range(count):
        if line and line % _NEAR == 0:
            base = vectors.at(base, steps[_NEAR])
        addresses.append(vectors.at(base, steps[line % _NEAR]) if line % _NEAR else base)
    return addresses


def _steps(vectors: Vectors, step: Any) -> list[Any]:
    return [vectors.builder.mul(step, vectors.index(line)) for line in range(_NEAR + 1)]


def _make_gather(rows: int, differences: bool) -> Any:
    @vector_code
    def gather(vectors, lines, x, x_at, step, weight, weight_at, table, taps, out, out_places, own_places):
        """``taps`` are the first and their number, ``*_places`` the first row's and how far rows are apart."""
        builder, count, steps = vectors.builder, len(lines), _steps(vectors, step)
        (tap, number), (target, between), (pixel, apart) = taps, out_places, own_places
        table = vectors.at(table, builder.mul(tap, vectors.index(TABLE)))
        targets, pixels = [], []
        for row in range(rows):
            place = builder.add(target, builder.mul(between, vectors.index(row)))
            targets += _lines(vectors, vectors.at(out, place), steps, count)
            if differences:
                place = builder.add(pixel, builder.mul(apart, vectors.index(row)))
                pixels += [vectors.load(a) for a in _lines(vectors, vectors.at(x, place), steps, count)]
        x, weight = vectors.at(x, x_at), vectors.at(weight, weight_at)

        def add(k, totals):
            entry = vectors.at(table, builder.mul(k, vectors.index(TABLE)))
            offset, *places = (builder.load(vectors.at(entry, i)) for i in range(1 + rows))
            sources = [vectors.at(weight, place) for place in places]
            factors = [vectors.load(source) for source in sources]
            for source in sources:
                # The next run of pixels: each tap has a line of its own, more of them than the processor foresees.
                fetch(vectors, vectors.at(source, vectors.length))
            sums = list(totals)
            for line, source in enumerate(_lines(vectors, vectors.at(x, offset), steps, count)):
                other = vectors.load(source)
                for row, factor in enumerate(factors):
                    i = row * count + line
                    value = builder.fsub(pixels[i], other) if differences else other
                    sums[i] = vectors.multiply_add(factor, value, totals[i])
            return sums

        _sum_in_place(vectors, number, targets, [add])

    return gather


def _make_compare(rows: int, squares: bool) -> Any:
    @vector_code
    def compare(vectors, taps, a, a_at, a_between, x, x_at, shift, step, count, out, out_at, out_step):
        builder, steps, number = vectors.builder, _steps(vectors, shift), len(taps)
        out = vectors.at(out, out_at)
        targets = [vectors.at(out, builder.mul(out_step, vectors.index(k))) for k in range(rows * number)]
        places = [builder.add(a_at, builder.mul(a_between, vectors.index(row))) for row in range(rows)]

        def adder(own: Any, others: Any) -> Add:
            owns, first = [vectors.at(own, place) for place in places], vectors.at(others, x_at)

            def add(c, totals):
                line = builder.mul(step, c)
                pixels = [vectors.load(vectors.at(one, line)) for one in owns]
                sums = list(totals)
                for k, source in enumerate(_lines(vectors, vectors.at(first, line), steps, number)):
                    other = vectors.load(source)
                    for row, pixel in enumerate(pixels):
                        i = row * number + k
                        difference = builder.fsub(pixel, other) if squares else None
                        factors = (difference, difference) if squares else (pixel, other)
                        sums[i] = vectors.multiply_add(*factors, totals[i])
                return sums

            return add

        # Products are those of a's pixels with the neighbours in x, then those of x's pixels with the neighbours in a.
        _sum_in_place(vectors, count, targets, [adder(a, x)] if squares else [adder(a, x), adder(x, a)])

    return compare


def _sum_in_place(vectors: Vectors, count: Any, places: list[Any], adds: Sequence[Add]) -> None:
    """Sums in registers of what is at some places, and back to these: a loop for each of ``adds``."""
    sums = [vectors.load(place) for place in places]
    for add in adds:
        sums = sum_loop(vectors, count, sums, add)
        _keep_rolled(vectors)
    for total, place in zip(sums, places, strict=True):
        vectors.store(total, place)


def _keep_rolled(vectors: Vectors) -> None:
    """Forbid that the loop just written, the last block but one, is unrolled: it fills the registers as it is."""
    module, loop = vectors.builder.module, vectors.builder.function.blocks[-2]
    never = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    # What LLVM knows a loop by refers to itself.
    name = ir.MDValue(module, [never], str(len(module.metadata)))
    name.operands = (name, never)
    loop.terminator.set_metadata("llvm.loop", name)


gather_1, gather_2 = (_make_gather(rows, False) for rows in (1, 2))
gather_differences_1, gather_differences_2 = (_make_gather(rows, True) for rows in (1, 2))
compare_squares_1, compare_squares_2 = (_make_compare(rows, True) for rows in (1, 2))
compare_products_1, compare_products_2 = (_make_compare(rows, False) for rows in (1, 2))
