"""Products of a few hundred columns: both factors packed, tiles of the result kept in registers.

Some hundred terms at a time, the right factor is packed in panels of as many columns as a tile has, which stay in the
second-level cache, and the left one a tile's height at a time, when it is needed. That is what BLAS does too; here the
tile is as high and as wide as the registers allow, and a whole tile is not computed where one or two thirds of it will
do, or where only a column or two are left.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.tile import (
    ROWS,
    STREAMS,
    Vectors,
    clear_run,
    copy_run,
    copy_strip,
    pack_block,
    sum_loop,
    vector_code,
)

DEPTH = 384
"""Terms of the sums at a time: a tile's factors of so many stay in the first-level cache."""
_INDEX, _INT, _BIT = ir.IntType(64), ir.IntType(32), ir.IntType(1)


def _make_tile(streams: int) -> Any:
    """``out[r, p] (+)= sum_k left[k * ROWS + r] * right[k * STREAMS * length + p]`` for p < streams * vector length.

    ``rows`` and ``columns`` limit what is written; it is added to what is there unless ``first``. ``stride`` is that
    of the rows of ``out``.
    """

    @vector_code
    def tile(vectors, left, left_at, right, right_at, count, first, out, out_at, stride, rows, columns):
        builder = vectors.builder
        left, right, out = vectors.at(left, left_at), vectors.at(right, right_at), vectors.at(out, out_at)

        def add(k, totals):
            line = vectors.at(right, builder.mul(k, _INDEX(STREAMS * vectors.length)))
            values = [vectors.load(vectors.at(line, v * vectors.length)) for v in range(streams)]
            factors = vectors.at(left, builder.mul(k, _INDEX(ROWS)))
            sums = []
            for r in range(ROWS):
                factor = vectors.splat(builder.load(vectors.at(factors, r)))
                sums += [vectors.multiply_add(factor, values[v], totals[r * streams + v]) for v in range(streams)]
            return sums

        sums = sum_loop(vectors, count, [vectors.zero] * (ROWS * streams), add)
        lanes = [lanes_below(vectors, builder, columns, v) for v in range(streams)]
        for r in range(ROWS):
            row = vectors.at(out, builder.mul(stride, _INDEX(r)))
            with builder.if_then(builder.icmp_signed("<", _INDEX(r), rows)):
                for v in range(streams):
                    place = vectors.at(row, v * vectors.length)
                    there = masked(vectors, builder, "load", [place, _INT(4), lanes[v], vectors.zero])
                    there = builder.select(first, vectors.zero, there)
                    value = builder.fadd(there, sums[r * streams + v])
                    masked(vectors, builder, "store", [value, place, _INT(4), lanes[v]])

    return tile


def lanes_below(vectors: Vectors, builder: Any, count: Any, vector: int) -> Any:
    """The lanes of one of several vectors whose number is below a count."""
    kind = ir.VectorType(_INDEX, vectors.length)
    empty = ir.Constant(kind, ir.Undefined)
    limit = vectors.shuffle(builder.insert_element(empty, count, _INT(0)), empty, [0] * vectors.length)
    return builder.icmp_signed(
        "<", ir.Constant(kind, [vector * vectors.length + i for i in range(vectors.length)]), limit
    )


def masked(vectors: Vectors, builder: Any, name: str, arguments: list[Any]) -> Any:
    """LLVM's masked load or store of a vector."""
    place = 0 if name == "load" else 1
    arguments[place] = builder.bitcast(arguments[place], vectors.type.as_pointer())
    code = "f32" if isinstance(vectors.type.element, ir.FloatType) else "f64"
    result = vectors.type if name == "load" else ir.VoidType()
    signature = ir.FunctionType(result, [argument.type for argument in arguments])
    full = f"llvm.masked.{name}.v{vectors.length}{code}.p0"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, full), arguments)


wide_tile, _middle_tile, _narrow_tile = _make_tile(STREAMS), _make_tile(2), _make_tile(1)

_CHAINS = 4
"""Sums of a column that do not wait for each other."""
_FEW = 2
"""Columns that are computed one by one: a tile of one vector takes as long as eight."""


@vector_code
def _sum_column(vectors, left, left_at, right, right_at, count, first, out, out_at, stride, rows):
    """``out[r] (+)= sum_k left[k * ROWS + r] * right[k * STREAMS * length]``; the rows are the lanes.

    A vector holds the factors of a few terms, whose sums are added in the end; ``count`` is in `_CHAINS` such vectors,
    one at least.
    """
    builder, together = vectors.builder, vectors.length // ROWS
    left, right, out = vectors.at(left, left_at), vectors.at(right, right_at), vectors.at(out, out_at)
    spread = [term for term in range(together) for _ in range(ROWS)]

    def add(k, totals):
        sums = []
        for chain, total in enumerate(totals):
            term = builder.add(builder.mul(k, _INDEX(_CHAINS * together)), _INDEX(chain * together))
            line = vectors.at(right, builder.mul(term, _INDEX(STREAMS * vectors.length)))
            values = ir.Constant(vectors.type, ir.Undefined)
            for i in range(together):
                value = builder.load(vectors.at(line, i * STREAMS * vectors.length))
                values = builder.insert_element(values, value, _INT(i))
            factors = vectors.load(vectors.at(left, builder.mul(term, _INDEX(ROWS))))
            sums.append(vectors.multiply_add(factors, vectors.shuffle(values, values, spread), total))
        return sums

    sums = sum_loop(vectors, count, [vectors.zero] * _CHAINS, add)
    total = builder.fadd(builder.fadd(sums[0], sums[1]), builder.fadd(sums[2], sums[3]))
    for r in range(ROWS):
        place = vectors.at(out, builder.mul(stride, _INDEX(r)))
        with builder.if_then(builder.icmp_signed("<", _INDEX(r), rows)):
            zero = ir.Constant(vectors.type.element, 0.0)
            value = builder.select(first, zero, builder.load(place))
            for i in range(together):
                value = builder.fadd(value, builder.extract_element(total, _INT(i * ROWS + r)))
            builder.store(value, place)


@njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _add_columns(factors, panels, panel, count, first, target, to, sizes):
    """A tile's part of the few columns of a panel; ``sizes`` are those columns, rows, the stride, a vector's length."""
    columns, rows, stride, vector = sizes
    terms = _CHAINS * (vector // ROWS)
    whole, width = count // terms, STREAMS * vector
    for j in range(columns):
        if whole > 0:
            _sum_column(factors, 0, panels, panel + j, whole, first, target, to + j, stride, rows)
        for r in range(rows):
            place = to + r * stride + j
            total = target[place] if whole > 0 or not first else panels.dtype.type(0)
            for k in range(whole * terms, count):
                total += factors[k * ROWS + r] * panels[panel + j + k * width]
            target[place] = total


@njit(nogil=True, cache=True)
def _pack_right(right, packed, first, count, width):
    """Terms ``first`` to ``first + count`` of ``right`` (K, N), contiguous, as (panel, count, width), beyond N as 0."""
    columns, flat = right.shape[1], right.reshape(-1)
    whole = columns - columns % width
    for k in range(count):
        row, to = (first + k) * columns, k * width
        for column in range(0, whole, width):
            copy_strip(packed, to, flat, row + column)
            to += count * width
        if whole < columns:
            copy_run(packed, to, flat, row + whole, columns - whole)
            clear_run(packed, to + columns - whole, whole + width - columns)


@njit(nogil=True, cache=True)
def _pack_left(left, packed, row, rows, first, count, transposed, vector):
    """Rows ``row`` to ``row + rows`` of op(left), terms ``first`` to ``first + count``, as (count, ROWS)."""
    stride, flat = left.strides[0] // left.itemsize, left[0]
    if rows < ROWS:
        for k in range(count):
            for r in range(ROWS):
                missing = r >= rows
                value = left[0, 0] if missing else left[first + k, row + r] if transposed else left[row + r, first + k]
                packed[k * ROWS + r] = 0 if missing else value
        return
    if transposed:
        for k in range(count):
            copy_run(packed, k * ROWS, flat, (first + k) * stride + row, ROWS)
        return
    whole = count - count % vector
    for k in range(0, whole, vector):
        pack_block(packed, k * ROWS, flat, row * stride + first + k, stride)
    for k in range(whole, count):
        for r in range(ROWS):
            packed[k * ROWS + r] = left[row + r, first + k]


@njit(nogil=True, cache=True)
def multiply(left, right, out, transposed, memory, width, start, stop):
    """Rows start..stop, counted in tiles, of ``out = op(left) @ right``.

    ``left`` is (M, K), or (K, M) if ``transposed``, rows any distance apart; ``right`` (K, N) and ``out`` (M, N) are
    contiguous. ``memory`` has room for a tile's factors and DEPTH terms of all panels, each ``width`` wide.
    """
    height, columns = out.shape
    depth, vector, target = len(right), width // STREAMS, out.reshape(-1)
    factors, panels = memory[: DEPTH * ROWS], memory[DEPTH * ROWS :]
    for first in range(0, depth, DEPTH):
        count = min(DEPTH, depth - first)
        _pack_right(right, panels, first, count, width)
        for tile in range(start, stop):
            row = tile * ROWS
            rows = min(ROWS, height - row)
            _pack_left(left, factors, row, rows, first, count, transposed, vector)
            panel = 0
            for column in range(0, columns, width):
                to, some = row * columns + column, min(width, columns - column)
                if some <= _FEW:
                    sizes = some, rows, columns, vector
                    _add_columns(factors, panels, panel, count, first == 0, target, to, sizes)
                elif some <= vector:
                    _narrow_tile(factors, 0, panels, panel, count, first == 0, target, to, columns, rows, some)
                elif some <= 2 * vector:
                    _middle_tile(factors, 0, panels, panel, count, first == 0, target, to, columns, rows, some)
                else:
                    wide_tile(factors, 0, panels, panel, count, first == 0, target, to, columns, rows, some)
                panel += count * width
