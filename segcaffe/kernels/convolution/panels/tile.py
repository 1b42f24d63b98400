"""The innermost loop, a few pixels times a panel of weights with the sums in registers, and what ends it.

A panel is the weights of one to `STREAMS` vectors of outputs, (terms, outputs). The factor of a pixel for term k is
``x[place + offsets[k]]``, with which every lane is multiplied. So pixels may lie anywhere: strides and ends of rows
cost nothing, and no lanes are idle but in the last vector of outputs.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from segcaffe.kernels.vector.tile import ROWS, STREAMS, Vectors, sum_loop, vector_code

AS_IT_IS, CLIPPED, SLOPED = range(3)
"""What becomes of results below 0: they stay, become 0, or are multiplied by the output's slope."""
FACTORS = 3
"""Vectors of an epilogue's table for each vector of outputs: scales, biases, slopes."""


def _products(vectors: Vectors, pixels: int, streams: int, addresses: list[Any], count: Any, fetch: Any) -> list[Any]:
    """Code for the sums over k of ``weights[k, v] * x[places[j] + offsets[k]]``, all streams v of each pixel j in turn.

    ``addresses`` are those of x, places, offsets and weights, of which a row is ``streams`` vectors. Each step fetches
    memory for a later call, ``fetch`` being (array, start, step).
    """
    builder, width = vectors.builder, streams * vectors.length
    x, places, offsets, weights = addresses
    sources = [vectors.at(x, builder.load(vectors.at(places, j))) for j in range(pixels)]
    ahead, ahead_step = vectors.at(*fetch[:2]), fetch[2]

    def add(k: Any, totals: list[Any]) -> list[Any]:
        line = vectors.at(weights, builder.mul(k, vectors.index(width)))
        factors = [vectors.load(vectors.at(line, v * vectors.length)) for v in range(streams)]
        offset = builder.load(vectors.at(offsets, k))
        vectors.prefetch(vectors.at(ahead, builder.mul(k, ahead_step)))
        found = []
        for j, source in enumerate(sources):
            value = vectors.splat(builder.load(vectors.at(source, offset)))
            found += [vectors.multiply_add(factors[v], value, totals[j * streams + v]) for v in range(streams)]
        return found

    return sum_loop(vectors, count, [vectors.zero] * (pixels * streams), add)


def _make_sum(pixels: int, streams: int) -> Any:
    """``sums[v * ROWS + j]`` becomes `_products`' sum of stream v and pixel j; arrays come with where they begin.

    An element of ``sums``, or of a row of weights, is a vector here.
    """

    @vector_code
    def add_products(vectors, x, places, offsets, weights, count, fetch, sums):
        x, places, weights, sums = (vectors.at(*pair) for pair in (x, places, weights, sums))
        for i, total in enumerate(_products(vectors, pixels, streams, [x, places, offsets, weights], count, fetch)):
            vectors.store(total, vectors.at(sums, (i % streams * ROWS + i // streams) * vectors.length))

    return add_products


def _make_block(pixels: int, streams: int) -> Any:
    """Sums that are ended in registers and written to blocks of outputs, whose pixels are vectors.

    ``out`` is (array, start, how far it is to the next block), ``addend`` (array, start); ``epilogue`` and ``vector``,
    the number of the first stream, are as of `finish_sums`.
    """

    @vector_code
    def convolve(vectors, x, places, offsets, weights, count, fetch, epilogue, vector, addend, out):
        builder = vectors.builder
        x, places, weights, addend = (vectors.at(*pair) for pair in (x, places, weights, addend))
        totals = _products(vectors, pixels, streams, [x, places, offsets, weights], count, fetch)
        (table, kind, adds), (target, start, step) = epilogue, out
        target = vectors.at(target, start)
        table = vectors.at(table, builder.mul(vector, vectors.index(FACTORS * vectors.length)))

        def factors(v: int, i: int) -> Any:
            return vectors.load(vectors.at(table, (v * FACTORS + i) * vectors.length))

        def places_of(array: Any) -> list[Any]:
            blocks = [vectors.at(array, builder.mul(step, vectors.index(v))) for v in range(streams)]
            return [vectors.at(block, j * vectors.length) for block in blocks for j in range(pixels)]

        def add(given: list[Any]) -> list[Any]:
            return [builder.fadd(one, vectors.load(at)) for one, at in zip(given, places_of(addend), strict=True)]

        values = []
        for v in range(streams):
            scale, bias = factors(v, 0), factors(v, 1)
            values += [vectors.multiply_add(totals[j * streams + v], scale, bias) for j in range(pixels)]
        slopes = lambda: [slope for v in range(streams) for slope in [factors(v, 2)] * pixels]  # noqa: E731
        values = rectify(vectors, _branch(vectors, adds, values, add), kind, slopes)
        for value, at in zip(values, places_of(target), strict=True):
            vectors.store(value, at)

    return convolve


sum_full_1, sum_full_2, sum_full_3 = (_make_sum(ROWS, streams) for streams in range(1, STREAMS + 1))
sum_less_1, sum_less_2, sum_less_3 = (_make_sum(ROWS - 1, streams) for streams in range(1, STREAMS + 1))
block_full_1, block_full_2, block_full_3 = (_make_block(ROWS, streams) for streams in range(1, STREAMS + 1))
block_less_1, block_less_2, block_less_3 = (_make_block(ROWS - 1, streams) for streams in range(1, STREAMS + 1))


@vector_code
def finish_sums(vectors, sums, epilogue, vector, addend, out, stride, size):
    """``out[m * stride + j] = epilogue of sums[j, m]`` for a vector's outputs m and j < size: `ROWS`, or one less.

    ``epilogue`` is a table (see `FACTORS`), of which the vector's number tells the place, what becomes of negative
    results, and whether an ``addend`` like ``out``, with the same stride, is added before that.
    """
    builder = vectors.builder
    table, kind, adds = epilogue
    sums, addend, out = (vectors.at(*pair) for pair in (sums, addend, out))
    table = vectors.at(table, builder.mul(vector, vectors.index(FACTORS * vectors.length)))
    scale, bias, slope = (vectors.load(vectors.at(table, i * vectors.length)) for i in range(FACTORS))
    totals = [vectors.load(vectors.at(sums, j * vectors.length)) for j in range(ROWS)]
    rows = _turned(vectors, [vectors.multiply_add(total, scale, bias) for total in totals])
    full = builder.icmp_signed("==", size, vectors.index(ROWS))
    places = [builder.mul(stride, vectors.index(lane)) for lane in range(vectors.length)]

    def add(given):
        others = [_load_row(vectors, vectors.at(addend, place), full) for place in places]
        return [builder.fadd(value, other) for value, other in zip(given, _joined(vectors, others), strict=True)]

    rows = _branch(vectors, adds, rows, add)
    together = vectors.length // ROWS
    lanes = [[i * together + lane // ROWS for lane in range(vectors.length)] for i in range(ROWS)]
    rows = rectify(vectors, rows, kind, lambda: [vectors.shuffle(slope, slope, own) for own in lanes])
    split = _split(vectors, rows)
    with builder.if_else(full) as (whole, part):
        with whole:
            for row, place in zip(split, places, strict=True):
                vectors.store(row, vectors.at(out, place))
        with part:
            for row, place in zip(split, places, strict=True):
                _masked(vectors, "store", [row, _row_at(vectors, vectors.at(out, place)), _ALIGN, _all_but_one()])


def finisher(vectors: Vectors, epilogue: Any, vector: Any) -> Callable[[Any], Any]:
    """What ends the sums of a vector of channels; ``epilogue`` is a table and a kind, as of `finish_sums`."""
    table, kind = epilogue
    table = vectors.at(table, vectors.builder.mul(vector, vectors.index(FACTORS * vectors.length)))
    scale, bias, slope = (vectors.load(vectors.at(table, i * vectors.length)) for i in range(FACTORS))

    def finish(total: Any) -> Any:
        (value,) = rectify(vectors, [vectors.multiply_add(total, scale, bias)], kind, lambda: [slope])
        return value

    return finish


@vector_code
def turn_block(vectors, packed, at, width, weight, start, row_stride):
    """``packed[at + k * width + r] = weight[start + r * row_stride + k]`` for `ROWS` of r, a vector's length of k."""
    builder = vectors.builder
    first, packed = vectors.at(weight, start), vectors.at(packed, at)
    rows = [vectors.load(vectors.at(first, builder.mul(row_stride, vectors.index(r)))) for r in range(ROWS)]
    for k, piece in enumerate(_split(vectors, _turned(vectors, rows))):
        vectors.store(piece, vectors.at(packed, builder.mul(width, vectors.index(k))))


def _branch(vectors: Vectors, condition: Any, values: list[Any], change: Callable[[list[Any]], list[Any]]) -> list[Any]:
    """The values, changed where the condition holds."""
    builder, before = vectors.builder, vectors.builder.block
    with builder.if_then(condition):
        results, changed = change(values), builder.block
    merged = [builder.phi(value.type) for value in values]
    for phi, value, result in zip(merged, values, results, strict=True):
        phi.add_incoming(value, before)
        phi.add_incoming(result, changed)
    return merged


def rectify(vectors: Vectors, values: list[Any], kind: Any, slopes: Callable[[], list[Any]]) -> list[Any]:
    """The values as ``kind`` tells, with ``slopes`` telling those of each; what is no number stays."""
    builder = vectors.builder

    def clip(given: list[Any]) -> list[Any]:
        return [builder.select(builder.fcmp_ordered(">", vectors.zero, one), vectors.zero, one) for one in given]

    def slope(given: list[Any]) -> list[Any]:
        changed = []
        for value, own in zip(given, slopes(), strict=True):
            # An infinite value times 0 would not be a number.
            flat = builder.fcmp_ordered("==", own, vectors.zero)
            low = builder.select(flat, vectors.zero, builder.fmul(value, own))
            changed.append(builder.select(builder.fcmp_ordered("<=", value, vectors.zero), low, value))
        return changed

    clips, slopes_count = (builder.icmp_signed("==", kind, vectors.index(one)) for one in (CLIPPED, SLOPED))
    return _branch(vectors, slopes_count, _branch(vectors, clips, values, clip), slope)


def _turned(vectors: Vectors, columns: list[Any]) -> list[Any]:
    """Vectors of `ROWS` pixels, outputs in the lanes, as rows of pixels, as many in a vector as it holds."""
    half, middle = ROWS // 2, vectors.length // 2
    for _ in range(half.bit_length()):
        woven = []
        for a, b in zip(columns[:half], columns[half:], strict=True):
            for first in (0, middle):
                picks = [lane + side for lane in range(first, first + middle) for side in (0, vectors.length)]
                woven.append(vectors.shuffle(a, b, picks))
        columns = woven
    return columns


def _split(vectors: Vectors, values: list[Any]) -> list[Any]:
    """The rows of `ROWS` elements that vectors hold."""
    parts = [list(range(first, first + ROWS)) for first in range(0, vectors.length, ROWS)]
    return [vectors.shuffle(value, value, part) for value in values for part in parts]


def _joined(vectors: Vectors, rows: list[Any]) -> list[Any]:
    """Vectors that hold rows of `ROWS` elements."""
    together = vectors.length // ROWS
    joined = []
    for first in range(0, len(rows), together):
        parts = rows[first : first + together]
        while len(parts) > 1:
            lanes = list(range(2 * parts[0].type.count))
            parts = [vectors.shuffle(a, b, lanes) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        joined += parts
    return joined


_ALIGN = ir.IntType(32)(4)


def _load_row(vectors: Vectors, place: Any, full: Any) -> Any:
    """A row of `ROWS` elements, the last of which is only read where the row is full."""
    kind = ir.VectorType(ir.IntType(1), ROWS)
    mask = vectors.builder.insert_element(_all_but_one(), full, ir.IntType(32)(ROWS - 1))
    assert mask.type == kind
    nothing = ir.Constant(ir.VectorType(vectors.type.element, ROWS), [0.0] * ROWS)
    return _masked(vectors, "load", [_row_at(vectors, place), _ALIGN, mask, nothing])


def _all_but_one() -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(1), ROWS), [lane < ROWS - 1 for lane in range(ROWS)])


def _row_at(vectors: Vectors, place: Any) -> Any:
    return vectors.builder.bitcast(place, ir.VectorType(vectors.type.element, ROWS).as_pointer())


def _masked(vectors: Vectors, name: str, arguments: list[Any]) -> Any:
    """LLVM's masked load or store of a row."""
    code = "f32" if isinstance(vectors.type.element, ir.FloatType) else "f64"
    result = arguments[-1].type if name == "load" else ir.VoidType()
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    full = f"llvm.masked.{name}.v{ROWS}{code}.p0"
    return vectors.builder.call(cgutils.get_or_insert_function(vectors.builder.module, signature, full), arguments)
