"""The innermost loops of depthwise convolution, as vector code built for Numba.

A *run* is a vector's length of neighbouring pixels of a row of the target. Lanes whose pixel of the source lies outside
the image are not read (masked loads), so that the image needs no copy with a margin.

``convolve_<rows>``, ``convolve_strided_<rows>``
    Some rows r of a run: each pixel p becomes the epilogue of the sum over taps k of ``weight[place k] *
    source[r * step + offset k + stride * p]``. Taps that lie in rows outside the image are for the caller to leave out.
``convolve_phases_<rows>``
    The gradient of x of stride 2: pixels 2p are the sum over one range of taps, pixels 2p + 1 that over another.
``slide``, ``slide_strided``, ``slide_pair``, ``slide_strided_pair``
    A 3x3 kernel down a column of runs, each row of the source read once; ``pair``: of two planes at once, each in half
    of the lanes, for narrow images. Rows outside the image count as 0.
``correlate_<taps>``, ``correlate_strided_<taps>``
    ``sums[k, p] += sum over r of grad[r * step + p] * source[r * step + offset k + stride * p]`` for some taps k;
    ``sum_lanes`` then adds up the lanes p of the sums of a tap.

``source``, ``weights``, ``target`` and ``grads`` are (flat array, where the run or kernel begins, step to the next row
or factor, if any). ``taps`` is flat: offset, column and place of each tap. ``edge`` is (column, width, live): the
column of the source of the run's first pixel, to which a tap's is added, the width of the source, and how many pixels
of the run exist.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from functools import partial
from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from segcaffe.kernels.vector.tile import Vectors, address, vector_code

TAP = 3
"""Fields of a tap."""
ROWS = 4
"""Rows that the larger ``convolve_*`` take at a time."""
KERNEL = 3
"""Size of the kernel that slides."""
MANY_TAPS, SOME_TAPS = 9, 3
"""Taps that the larger ``correlate_*`` take at a time."""


class Runs(Vectors):
    """Building blocks for runs that may reach beyond the edges of the image."""

    def __init__(self, context: Any, builder: Any, dtype: Any, parts: int = 1) -> None:
        super().__init__(context, builder, dtype)
        self.dtype = dtype
        self.length //= parts
        self.type = ir.VectorType(self.type.element, self.length)
        self.zero = ir.Constant(self.type, [0.0] * self.length)

    def part(self, parts: int) -> Runs:
        """Runs of a part of the lanes, in the same code."""
        return Runs(self.context, self.builder, self.dtype, parts)

    def inside(self, first: Any, limit: Any, stride: int = 1) -> Any:
        """For each lane of ``stride`` vectors whether ``first`` plus its number lies in [0, limit)."""
        lanes = self.length * stride
        kind = ir.VectorType(ir.IntType(32), lanes)
        place, end = (self._splat_number(self.builder.trunc(value, ir.IntType(32)), kind) for value in (first, limit))
        numbers = ir.Constant(kind, list(range(lanes)))
        return self.builder.icmp_unsigned("<", self.builder.add(numbers, place), end)

    def _splat_number(self, value: Any, kind: Any) -> Any:
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.IntType(32)(0))
        return self.shuffle(first, undefined, [0] * kind.count)

    def load_lanes(self, pointer: Any, mask: Any) -> Any:
        """As many elements from memory as the mask has, of which only some are read; the others are 0."""
        zero = ir.Constant(ir.VectorType(self.type.element, mask.type.count), [0.0] * mask.type.count)
        return self._call("load", zero.type, [self._place(pointer, zero), ir.IntType(32)(4), mask, zero])

    def store_lanes(self, value: Any, pointer: Any, mask: Any) -> None:
        """Write some lanes of a vector to memory."""
        self._call("store", ir.VoidType(), [value, self._place(pointer, value), ir.IntType(32)(4), mask])

    def _place(self, pointer: Any, value: Any) -> Any:
        return self.builder.bitcast(pointer, value.type.as_pointer())

    def _call(self, what: str, result: Any, arguments: list[Any]) -> Any:
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        lanes = arguments[-2 if what == "load" else -1].type.count
        name = f"llvm.masked.{what}.v{lanes}{'f32' if self.type.element == ir.FloatType() else 'f64'}.p0"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def load_run(self, pointer: Any, mask: Any) -> Any:
        """As many elements as a vector has, or where the mask is of two vectors every other one of these."""
        values = self.load_lanes(pointer, mask)
        return values if values.type.count == self.length else self.every_other([values], 0)

    def every_other(self, values: list[Any], first: int) -> Any:
        """The even (0) or odd (1) elements of two vectors, which may be one value."""
        return self.shuffle(values[0], values[-1], list(range(first, 2 * self.length, 2)))

    def join(self, parts: list[Any]) -> Any:
        """One vector of its halves; or the vector itself."""
        return parts[0] if len(parts) == 1 else self.shuffle(parts[0], parts[1], list(range(self.length)))

    def spread(self, scalars: list[Any]) -> Any:
        """A vector whose lanes are all the scalar, or half of them the one and half of them the other."""
        if len(scalars) == 1:
            return self.splat(scalars[0])
        pair = ir.Constant(ir.VectorType(self.type.element, 2), ir.Undefined)
        for i, scalar in enumerate(scalars):
            pair = self.builder.insert_element(pair, scalar, ir.IntType(32)(i))
        return self.shuffle(pair, pair, [i for i in range(2) for _ in range(self.length // 2)])

    def store_run(self, values: list[Any], pointer: Any, live: Any) -> None:
        """Write the first ``live`` elements of one vector, or of two vectors interleaved."""
        if len(values) == 2:
            middle = self.length // 2
            halves = [range(middle), range(middle, self.length)]
            values = [
                self.shuffle(values[0], values[1], [lane for i in half for lane in (i, i + self.length)])
                for half in halves
            ]
        for i, value in enumerate(values):
            self.store_lanes(value, self.at(pointer, i * self.length), self.inside(self.index(i * self.length), live))

    def strided(self, place: Any) -> tuple[Any, ...]:
        """From (array, start, any steps) the address of the start, and the steps."""
        array, start, *steps = place
        return self.at(array, start), *steps

    def finish(self, epilogue: Any, channels: list[Any]) -> Any:
        """What applies the epilogue of a channel, or of two to a half of the lanes each, to sums."""
        table, slope = epilogue
        places = [self.at(table, self.builder.mul(channel, self.index(2))) for channel in channels]
        scale, bias = (self.spread([self.builder.load(self.at(place, i)) for place in places]) for i in range(2))
        return lambda sums: self.rectify([self.multiply_add(value, scale, bias) for value in sums], slope)

    def sum_taps(self, tables: list[Any], bounds: list[Any], source: tuple[Any, Any], rows: int, stride: int) -> Any:
        """Sums over a range of taps for each row; ``tables`` are taps, weights, and (column, width)."""
        builder = self.builder
        taps_from, weight_from, (start, width) = tables
        first, count = bounds
        totals = [cgutils.alloca_once_value(builder, self.zero) for _ in range(rows)]
        last = builder.add(first, count)
        with cgutils.for_range_slice(builder, first, last, self.index(1), ir.IntType(64)) as (k, _):
            tap = self.at(taps_from, builder.mul(k, self.index(TAP)))
            offset, column, place = (builder.load(self.at(tap, i)) for i in range(TAP))
            factor = self.splat(builder.load(self.at(weight_from, place)))
            mask = self.inside(builder.add(start, column), width, stride)
            run = self.at(source[0], offset)
            for total in totals:
                builder.store(self.multiply_add(factor, self.load_run(run, mask), builder.load(total)), total)
                run = self.at(run, source[1])
        return [builder.load(total) for total in totals]


run_code = partial(vector_code, make=Runs)


def _make_convolve(rows: int, stride: int, phases: int) -> Any:
    @run_code
    def convolve(runs, source, taps, weights, ranges, edge, epilogue, channel, target):
        """``ranges`` are first tap and number of taps of each phase."""
        column, width, live = edge
        tables = [taps, *runs.strided(weights), (column, width)]
        place = runs.strided(source)
        sums = [runs.sum_taps(tables, ranges[2 * i : 2 * i + 2], place, rows, stride) for i in range(phases)]
        finish = runs.finish(epilogue, [channel])
        out, step = runs.strided(target)
        for row in range(rows):
            runs.store_run(finish([one[row] for one in sums]), out, live)
            out = runs.at(out, step)

    return convolve


def _make_slide(stride: int, planes: int) -> Any:
    @run_code
    def slide(runs, source, weights, rows, edge, epilogue, channel, target, second):
        """``source`` is the column of the first tap; ``rows`` its row, the source's height, the target's rows.

        ``second`` is how far the second plane's source, weights, channel and target are from those of the first.
        """
        builder, part = runs.builder, runs.part(planes)

        def of_planes(first: Any, step: Any) -> list[Any]:
            return [first, runs.at(first, step)][:planes]

        (first_row, height, count), (column, width, live) = rows, edge
        (x_from,) = runs.strided(source)
        sources = of_planes(x_from, second[0])
        weight_from, weight_step = runs.strided(weights)
        kernels = of_planes(weight_from, second[1])
        finish = runs.finish(epilogue, [channel, builder.add(channel, second[2])][:planes])
        out, out_step = runs.strided(target)
        targets = of_planes(out, second[3])
        places = [builder.mul(weight_step, runs.index(k)) for k in range(KERNEL**2)]
        factors = [runs.spread([builder.load(runs.at(kernel, place)) for kernel in kernels]) for place in places]

        def load(row: Any, shift: int, end: Any) -> list[Any]:
            mask = part.inside(builder.add(column, runs.index(shift)), end, stride)
            place = builder.add(row, runs.index(shift))
            return [part.load_lanes(runs.at(plane, place), mask) for plane in sources]

        def load_row(number: Any) -> list[Any]:
            end = builder.select(builder.icmp_unsigned("<", number, height), width, runs.index(0))
            row = builder.mul(number, width)
            loaded = [load(row, shift, end) for shift in range(0, KERNEL, stride)]
            if stride == 1:
                return [runs.join(parts) for parts in loaded]
            return [runs.every_other(loaded[shift // 2], shift % 2) for shift in range(KERNEL)]

        kept = KERNEL - stride
        above = [load_row(builder.add(first_row, runs.index(i))) for i in range(kept)]
        window = [[cgutils.alloca_once_value(builder, run) for run in row] for row in above]
        with cgutils.for_range(builder, count) as loop:
            first = builder.add(first_row, builder.mul(loop.index, runs.index(stride)))
            values = [[builder.load(run) for run in row] for row in window]
            values += [load_row(builder.add(first, runs.index(kept + i))) for i in range(stride)]
            total = runs.zero
            for factor, run in zip(factors, [run for row in values for run in row], strict=True):
                total = runs.multiply_add(factor, run, total)
            (result,) = finish([total])
            place = builder.mul(loop.index, out_step)
            for i, plane in enumerate(targets):
                lanes = list(range(i * part.length, (i + 1) * part.length))
                part.store_run([runs.shuffle(result, result, lanes)], runs.at(plane, place), live)
            for row, later in zip(window, values[stride:], strict=True):
                for run, value in zip(row, later, strict=True):
                    builder.store(value, run)

    return slide


def _make_correlate(count: int, stride: int) -> Any:
    @run_code
    def correlate(runs, source, taps, first, edge, grads, rows, sums):
        builder = runs.builder
        (x_from, x_step), (grad_from, grad_step) = runs.strided(source), runs.strided(grads)
        taps = runs.at(taps, builder.mul(first, runs.index(TAP)))
        sums = runs.at(sums, builder.mul(first, runs.index(runs.length)))
        column, width, live = edge
        lanes = runs.inside(runs.index(0), live)
        places = [runs.at(sums, k * runs.length) for k in range(count)]
        totals = [cgutils.alloca_once_value(builder, runs.load(place)) for place in places]
        sources, masks = [], []
        for k in range(count):
            offset, shift = (builder.load(runs.at(taps, TAP * k + i)) for i in range(2))
            sources.append(runs.at(x_from, offset))
            masks.append(runs.inside(builder.add(column, shift), width, stride))
        with cgutils.for_range(builder, rows) as loop:
            step = builder.mul(loop.index, x_step)
            factor = runs.load_lanes(runs.at(grad_from, builder.mul(loop.index, grad_step)), lanes)
            for place, mask, total in zip(sources, masks, totals, strict=True):
                # A pixel that belongs to no gradient may be infinite, and 0 times that is no number.
                value = builder.select(lanes, runs.load_run(runs.at(place, step), mask), runs.zero)
                builder.store(runs.multiply_add(factor, value, builder.load(total)), total)
        for place, total in zip(places, totals, strict=True):
            runs.store(builder.load(total), place)

    return correlate


@intrinsic
def sum_lanes(typing, sums, start):
    """The sum of a vector's elements."""
    signature = sums.dtype(sums, start)

    def generate(context, builder, signature, args):
        runs = Runs(context, builder, sums.dtype)
        total = runs.sums([runs.load(address(context, runs, sums, args[0], args[1]))])
        return builder.extract_element(total, ir.IntType(32)(0))

    return signature, generate


convolve_4, convolve_1 = (_make_convolve(rows, 1, 1) for rows in (ROWS, 1))
convolve_strided_4, convolve_strided_1 = (_make_convolve(rows, 2, 1) for rows in (ROWS, 1))
convolve_phases_4, convolve_phases_1 = (_make_convolve(rows, 1, 2) for rows in (ROWS, 1))
slide, slide_pair = (_make_slide(1, planes) for planes in (1, 2))
slide_strided, slide_strided_pair = (_make_slide(2, planes) for planes in (1, 2))
correlate_9, correlate_3, correlate_1 = (_make_correlate(taps, 1) for taps in (MANY_TAPS, SOME_TAPS, 1))
correlate_strided_9, correlate_strided_3, correlate_strided_1 = (
    _make_correlate(taps, 2) for taps in (MANY_TAPS, SOME_TAPS, 1)
)
