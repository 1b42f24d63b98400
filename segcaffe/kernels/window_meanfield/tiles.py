"""The innermost loops over pairs of pixels: sums of one or two rows of pixels at a time, in vector registers.

Two rows whose distance is the window's dilation have all but one of their windows' rows in common. Taken together they
load a neighbour once for both: most neighbours cross a cache line, and loading those limits the loops otherwise.

``gather_<rows>``, ``gather_differences_<rows>``
    ``out[s, r, p] += sum_k weight[place k of s + p] * f(x[r, p + offset k])`` for rows s of pixels and as many lines r
    (channels) as the tuple ``lines`` has elements; f is the neighbour, or the pixel minus the neighbour.
``compare_squares_<rows>``, ``compare_products_<rows>``
    ``out[s, k, p] += sum_c f(a[s, c, p], x[c, p + k * shift])`` for as many k as the tuple ``taps`` has elements; f is
    the squared difference or the product.

p are the pixels of one vector register. A table has three numbers a tap: the offset, and the places for both rows. All
arrays are flat, lines lie ``step`` apart; callable from compiled kernels only, nothing is checked.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from segcaffe.kernels.vector.tile import _MANY_REGISTERS, Vectors, address, sum_loop

LINES, DIFFERENCES, OFFSETS = (12, 6, 13) if _MANY_REGISTERS else (5, 2, 5)
"""Lines, lines with their own pixels too, and neighbours, whose sums for two rows of pixels fit the registers."""
TABLE = 3
"""Numbers of a tap in a table."""
_NEAR = 8
"""Lines that are addressed from one base, so that all addresses of a loop stay in registers."""


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
    @intrinsic
    def gather(typing, lines, x, x_at, step, weight, weight_at, table, taps, out, out_places, own_places):
        """``taps`` are the first and their number, ``*_places`` the first row's and how far rows are apart."""
        signature = types.void(lines, x, x_at, step, weight, weight_at, table, taps, out, out_places, own_places)

        def generate(context, builder, signature, args):
            vectors = Vectors(context, builder, x.dtype)
            _, x_array, start, pitch, weights, moved, tables, *_ = args
            outs = args[8]
            (tap, number), (target, between), (pixel, apart) = (
                [builder.extract_value(args[k], i) for i in range(2)] for k in (7, 9, 10)
            )
            steps = _steps(vectors, pitch)
            x_from = address(context, vectors, x, x_array, start)
            weight_from = address(context, vectors, weight, weights, moved)
            table_from = address(context, vectors, table, tables, builder.mul(tap, vectors.index(TABLE)))
            targets, pixels = [], []
            for row in range(rows):
                place = builder.add(target, builder.mul(between, vectors.index(row)))
                targets += _lines(vectors, address(context, vectors, out, outs, place), steps, lines.count)
                if differences:
                    place = builder.add(pixel, builder.mul(apart, vectors.index(row)))
                    line = address(context, vectors, x, x_array, place)
                    pixels += [vectors.load(a) for a in _lines(vectors, line, steps, lines.count)]

            def add(k, totals):
                entry = vectors.at(table_from, builder.mul(k, vectors.index(TABLE)))
                offset, *places = (builder.load(vectors.at(entry, i)) for i in range(1 + rows))
                factors = [vectors.load(vectors.at(weight_from, place)) for place in places]
                sums = list(totals)
                for line, source in enumerate(_lines(vectors, vectors.at(x_from, offset), steps, lines.count)):
                    other = vectors.load(source)
                    for row, factor in enumerate(factors):
                        i = row * lines.count + line
                        value = builder.fsub(pixels[i], other) if differences else other
                        sums[i] = vectors.multiply_add(factor, value, totals[i])
                return sums

            sums = sum_loop(vectors, number, [vectors.load(a) for a in targets], add)
            for total, a in zip(sums, targets, strict=True):
                vectors.store(total, a)
            return context.get_dummy_value()

        return signature, generate

    return gather


def _make_compare(rows: int, squares: bool) -> Any:
    @intrinsic
    def compare(typing, taps, a, a_at, a_between, x, x_at, shift, step, count, out, out_at, out_step):
        signature = types.void(taps, a, a_at, a_between, x, x_at, shift, step, count, out, out_at, out_step)

        def generate(context, builder, signature, args):
            vectors = Vectors(context, builder, x.dtype)
            _, a_array, own, between, x_array, start, apart, pitch, number, outs, target, out_pitch = args
            steps, tap_count = _steps(vectors, apart), taps.count
            x_from = address(context, vectors, x, x_array, start)
            out_from = address(context, vectors, out, outs, target)
            targets = [vectors.at(out_from, builder.mul(out_pitch, vectors.index(k))) for k in range(rows * tap_count)]
            owns = [
                address(context, vectors, a, a_array, builder.add(own, builder.mul(between, vectors.index(row))))
                for row in range(rows)
            ]

            def add(c, totals):
                line = builder.mul(pitch, c)
                pixels = [vectors.load(vectors.at(one, line)) for one in owns]
                sums = list(totals)
                for k, source in enumerate(_lines(vectors, vectors.at(x_from, line), steps, tap_count)):
                    other = vectors.load(source)
                    for row, pixel in enumerate(pixels):
                        i = row * tap_count + k
                        if squares:
                            difference = builder.fsub(pixel, other)
                            sums[i] = vectors.multiply_add(difference, difference, totals[i])
                        else:
                            sums[i] = vectors.multiply_add(pixel, other, totals[i])
                return sums

            sums = sum_loop(vectors, number, [vectors.load(place) for place in targets], add)
            for total, place in zip(sums, targets, strict=True):
                vectors.store(total, place)
            return context.get_dummy_value()

        return signature, generate

    return compare


gather_1, gather_2 = (_make_gather(rows, False) for rows in (1, 2))
gather_differences_1, gather_differences_2 = (_make_gather(rows, True) for rows in (1, 2))
compare_squares_1, compare_squares_2 = (_make_compare(rows, True) for rows in (1, 2))
compare_products_1, compare_products_2 = (_make_compare(rows, False) for rows in (1, 2))
