"""The innermost loops of convolutions, written for the register file.

A convolution is a matrix product whose right operand, the image's columns, need never exist: the column of tap k is the
image itself, shifted by a constant ``offsets[k]``. Each function here multiplies such shifted streams for one tile of
outputs that fits the vector registers:

``multiply_<rows>``
    ``out[r, p] = sum_k weight[k, r] * x[offsets[k] + p] + bias[r]`` for ``strip_length(dtype)`` positions p.
    Unless ``ahead`` is None, the memory ``ahead`` elements behind each stream is fetched for a later call.
``convolve_<rows>``
    The same with an epilogue: ``out[r, p]`` is ``v = scale[r] * sum + bias[r]``, or ``slope * v`` where v <= 0.
    Unless it is None, lines of ``fetch = (array, at, step, lines, rate)`` are fetched for a later call: in step k
    number ``n = k * rate / 2^16``, which is line ``n % 2^lines`` of row ``n / 2^lines``, the rows lying from ``at`` on
    ``step`` apart.
``correlate_<rows>``
    ``out[j, r] += sum_p a[r, p] * x[offsets[j] + p]`` for `STREAMS` offsets j, any number of positions p from a start.
``pack_block``
    A block of a matrix, `ROWS` rows of a vector's length, written column by column.
``add_block``
    The reverse: sums of such blocks added to a block of a matrix.
``copy_strip``
    ``strip_length(dtype)`` elements copied.
``copy_run``, ``clear_run``, ``add_run``
    Consecutive elements copied, set to 0, or added to.
``pick_run``, ``spread_run``
    Every stride-th element copied to consecutive ones, or the reverse.

The first three are made of LLVM vectors because a loop nest in Python does not keep its tile in registers. All take
flat arrays of one dtype with start indices, are callable from compiled kernels only, and check nothing.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

STREAMS = 3
"""Vectors of x held in registers at a time."""

_features = llvm.get_host_cpu_features()
_VECTOR_BYTES = 64 if _features.get("avx512f") else 32 if _features.get("avx") else 16
_MANY_REGISTERS = _VECTOR_BYTES == 64 or platform.machine() in ("aarch64", "arm64")

ROWS = 8 if _MANY_REGISTERS else 4
"""Rows of a full tile: ROWS * STREAMS sums, the streams and one factor fill the registers. Others have 4, 2 or 1."""

_INDEX = ir.IntType(64)


def vector_length(dtype: Any) -> int:
    """Elements of ``dtype`` in one vector register."""
    return _VECTOR_BYTES // int(np.dtype(dtype).itemsize)


def strip_length(dtype: Any) -> int:
    """Positions that one call of ``multiply_<rows>`` computes."""
    return STREAMS * vector_length(dtype)


class Vectors:
    """Building blocks for code on vectors of one element type."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.context, self.builder = context, builder
        scalar = context.get_value_type(dtype)
        self.itemsize = int(context.get_abi_sizeof(scalar))
        self.length = _VECTOR_BYTES // self.itemsize
        self.type = ir.VectorType(scalar, self.length)
        self.zero = ir.Constant(self.type, [0.0] * self.length)

    def at(self, pointer: Any, index: Any) -> Any:
        """The address ``index`` elements behind ``pointer``."""
        return self.builder.gep(pointer, [_INDEX(index) if isinstance(index, int) else index])

    def load(self, pointer: Any, length: int = 0) -> Any:
        """A vector from memory, of ``length`` elements if that is given."""
        kind = ir.VectorType(self.type.element, length) if length else self.type
        return self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()), align=4)

    def store(self, value: Any, pointer: Any) -> None:
        """Write a vector to memory."""
        self.builder.store(value, self.builder.bitcast(pointer, value.type.as_pointer()), align=4)

    def prefetch(self, pointer: Any) -> None:
        """Have a line of memory brought into the second-level cache; any address will do."""
        where = self.builder.bitcast(pointer, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [where.type, *[ir.IntType(32)] * 3])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0")
        self.builder.call(function, [where, *(ir.IntType(32)(flag) for flag in (0, 2, 1))])

    def index(self, value: int) -> Any:
        """A whole number, as a constant for computing indices."""
        return _INDEX(value)

    def constant(self, value: float) -> Any:
        """A vector whose lanes are all ``value``, known when compiling."""
        return ir.Constant(self.type, [value] * self.length)

    def splat(self, scalar: Any) -> Any:
        """A vector whose lanes are all ``scalar``."""
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.IntType(32)(0))
        return self.shuffle(first, undefined, [0] * self.length)

    def shuffle(self, a: Any, b: Any, lanes: list[int]) -> Any:
        """Choose lanes of ``a``, then ``b``, by number."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes))

    def multiply_add(self, a: Any, b: Any, total: Any) -> Any:
        """``a * b + total``, rounded once where the processor can."""
        product = self.builder.fmul(a, b, flags=("contract",))
        return self.builder.fadd(product, total, flags=("contract",))

    def rectify(self, values: list[Any], slope: Any) -> list[Any]:
        """Each of ``values``, times the scalar ``slope`` where it is not above 0; with a slope of 0 that is 0."""
        builder = self.builder
        before = builder.block
        with builder.if_then(builder.fcmp_unordered("!=", slope, ir.Constant(slope.type, 1.0))):
            factor = self.splat(slope)
            flat = builder.fcmp_ordered("==", slope, ir.Constant(slope.type, 0.0))
            results = []
            for value in values:
                # An infinite value times 0 would not be a number.
                low = builder.select(flat, self.zero, builder.fmul(value, factor))
                results.append(builder.select(builder.fcmp_ordered("<=", value, self.zero), low, value))
            changed = builder.block
        merged = [builder.phi(self.type) for _ in values]
        for phi, value, result in zip(merged, values, results, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(result, changed)
        return merged

    def add_neighbours(self, a: Any, b: Any) -> Any:
        """Sums of neighbouring lanes: those of ``a``, then those of ``b``."""
        lanes = range(a.type.count + b.type.count)
        even, odd = (self.shuffle(a, b, list(lanes[i::2])) for i in (0, 1))
        return self.builder.fadd(even, odd)

    def sums(self, vectors: list[Any]) -> Any:
        """One vector that holds the sum over the lanes of each of ``vectors`` (1, 2, 4 or 8 of them)."""
        count = len(vectors)
        if count > self.length:
            first, second = self.sums(vectors[: count // 2]), self.sums(vectors[count // 2 :])
            return self.shuffle(first, second, list(range(count)))
        while len(vectors) > 1:
            vectors = [self.add_neighbours(a, b) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
        (total,) = vectors
        while total.type.count > count:
            lanes = list(range(total.type.count))
            total = self.builder.fadd(self.shuffle(total, total, lanes[::2]), self.shuffle(total, total, lanes[1::2]))
        return total


def _loop(vectors: Vectors, count: Any, step: int, start: list[Any], body: Callable[[Any], tuple[Any, Any]]) -> Any:
    """``for i in range(0, count, step)``: add the outer product of what ``body(i)`` gives to rows x STREAMS vectors.

    The sums of row r begin with ``start[r]``. ``body`` returns a function of the row, giving its factor, and the list
    of streams. The count is at least 1.
    """
    builder = vectors.builder
    before, loop, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(_INDEX)
    totals = [[builder.phi(vectors.type) for _ in range(STREAMS)] for _ in start]
    factor, streams = body(index)
    sums = []
    for row, total_row in enumerate(totals):
        value = factor(row)
        sums.append([vectors.multiply_add(value, x, t) for x, t in zip(streams, total_row, strict=True)])
    following = builder.add(index, _INDEX(step))
    index.add_incoming(_INDEX(0), before)
    index.add_incoming(following, loop)
    for first, total_row, sum_row in zip(start, totals, sums, strict=True):
        for total, value in zip(total_row, sum_row, strict=True):
            total.add_incoming(first, before)
            total.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
    builder.position_at_end(after)
    return sums


def sum_loop(vectors: Vectors, count: Any, first: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
    """Sums in registers that begin with ``first``: ``for i in range(count): sums = body(i, sums)``; count >= 1."""
    builder = vectors.builder
    before, loop, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    index = builder.phi(_INDEX)
    totals = [builder.phi(vectors.type) for _ in first]
    sums = body(index, totals)
    following = builder.add(index, vectors.index(1))
    index.add_incoming(vectors.index(0), before)
    index.add_incoming(following, loop)
    for start, total, value in zip(first, totals, sums, strict=True):
        total.add_incoming(start, before)
        total.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
    builder.position_at_end(after)
    return sums


def address(context: Any, vectors: Vectors, array_type: Any, array: Any, start: Any) -> Any:
    """The address of element ``start`` of an array."""
    data = cgutils.create_struct_proxy(array_type)(context, vectors.builder, value=array).data
    return vectors.at(data, start)


def _given(vectors: Vectors, kind: Any, value: Any) -> Any:
    """An argument as code on vectors takes it: the address of an array, a list of a tuple's values, None of None."""
    if isinstance(kind, types.Array):
        return address(vectors.context, vectors, kind, value, 0)
    if isinstance(kind, types.BaseTuple):
        parts = (vectors.builder.extract_value(value, i) for i in range(len(kind.types)))
        return [_given(vectors, *both) for both in zip(kind.types, parts, strict=True)]
    return None if kind == types.none else value


def vector_code(body: Callable[..., None], make: Callable[..., Vectors] = Vectors) -> Any:
    """Make a function for compiled kernels of one that writes its code: ``body(vectors, *arguments)``.

    The arguments are values while the code is written: of an array the address of its first element, of a tuple the
    list of what is in it. The vectors, made by ``make``, are of the type of the first array, or of the first in a
    tuple; nothing is returned.
    """

    # Numba takes the parameters' names from ``body``, whose first one stands for the context that comes first here.
    @functools.wraps(body)
    def define(typing: Any, *kinds: Any) -> Any:
        flat = (inner for kind in kinds for inner in (kind.types if isinstance(kind, types.BaseTuple) else [kind]))
        dtype = next(kind.dtype for kind in flat if isinstance(kind, types.Array))

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vectors = make(context, builder, dtype)
            body(vectors, *[_given(vectors, *both) for both in zip(kinds, arguments, strict=True)])
            return context.get_dummy_value()

        return types.void(*kinds), generate

    return intrinsic(define)


def _products(
    vectors: Vectors, rows: int, addresses: list[Any], count: Any, fetch: Callable[[Any, Any], Any] | None
) -> Any:
    """Code for the sums of ``rows`` x STREAMS vectors.

    ``addresses`` are those of x, offsets and weights; ``fetch`` tells the address of memory to fetch, from a step and
    the address of its first stream.
    """
    builder = vectors.builder
    x_from, offsets_from, weight_from = addresses

    def step(k: Any) -> tuple[Any, Any]:
        source = vectors.at(x_from, builder.load(vectors.at(offsets_from, k)))
        if fetch is not None:
            vectors.prefetch(fetch(k, source))
        weights = vectors.at(weight_from, builder.mul(k, _INDEX(ROWS)))
        streams = [vectors.load(vectors.at(source, v * vectors.length)) for v in range(STREAMS)]
        return lambda row: vectors.splat(builder.load(vectors.at(weights, row))), streams

    return _loop(vectors, count, 1, [vectors.zero] * rows, step)


def _store_rows(vectors: Vectors, values: list[Any], out_from: Any, stride: Any) -> None:
    for i, value in enumerate(values):
        target = vectors.at(out_from, vectors.builder.mul(stride, _INDEX(i // STREAMS)))
        vectors.store(value, vectors.at(target, i % STREAMS * vectors.length))


def _make_multiply(rows: int) -> Any:
    @vector_code
    def multiply(vectors, x, start, offsets, weight, weight_at, count, bias, bias_at, out, out_at, stride, ahead):
        addresses = [vectors.at(x, start), offsets, vectors.at(weight, weight_at)]
        fetch = None if ahead is None else lambda _, source: vectors.at(source, ahead)
        bias_from, values = vectors.at(bias, bias_at), []
        for row, sums in enumerate(_products(vectors, rows, addresses, count, fetch)):
            # Last, so that a bias larger than the products does not cost their sum its digits.
            last = vectors.splat(vectors.builder.load(vectors.at(bias_from, row)))
            values += [vectors.builder.fadd(value, last) for value in sums]
        _store_rows(vectors, values, vectors.at(out, out_at), stride)

    return multiply


def _make_convolve(rows: int) -> Any:
    """``epilogue`` is (scale, bias) for each row, from ``epilogue_at`` on, and a slope of the arrays' type."""

    @vector_code
    def convolve(vectors, x, start, offsets, weight, at, count, epilogue, epilogue_at, out, out_at, stride, fetch):
        builder, addresses = vectors.builder, [vectors.at(x, start), offsets, vectors.at(weight, at)]

        def line(k, _):
            source, first, step, lines, rate = fetch
            number = builder.lshr(builder.mul(k, rate), _INDEX(16))
            row = builder.lshr(number, lines)
            line = builder.sub(number, builder.shl(row, lines))
            place = builder.add(builder.mul(row, step), builder.mul(line, _INDEX(vectors.length)))
            return vectors.at(vectors.at(source, first), place)

        table, slope = epilogue
        table, values = vectors.at(table, epilogue_at), []
        for row, sums in enumerate(_products(vectors, rows, addresses, count, None if fetch is None else line)):
            scale, bias = (vectors.splat(builder.load(vectors.at(table, 2 * row + i))) for i in (0, 1))
            values += [vectors.multiply_add(value, scale, bias) for value in sums]
        _store_rows(vectors, vectors.rectify(values, slope), vectors.at(out, out_at), stride)

    return convolve


def _make_correlate(rows: int) -> Any:
    @vector_code
    def correlate(vectors, a, a_stride, x, start, offsets, first, count, out, out_start):
        builder, offsets, out = vectors.builder, vectors.at(offsets, first), vectors.at(out, out_start)
        x = vectors.at(x, start)
        sources = [vectors.at(x, builder.load(vectors.at(offsets, j))) for j in range(STREAMS)]
        lines = [vectors.at(vectors.at(a, start), builder.mul(a_stride, _INDEX(row))) for row in range(rows)]

        def step(p):
            return lambda row: vectors.load(vectors.at(lines[row], p)), [
                vectors.load(vectors.at(source, p)) for source in sources
            ]

        sums = _loop(vectors, count, vectors.length, [vectors.zero] * rows, step)
        for j in range(STREAMS):
            target = vectors.at(out, j * ROWS)
            total = vectors.sums([line[j] for line in sums])
            vectors.store(builder.fadd(vectors.load(target, rows), total), target)

    return correlate


@vector_code
def copy_run(vectors, target, target_start, source, source_start, count):
    """Copy ``count`` elements; the arrays do not overlap."""
    to, come_from = vectors.at(target, target_start), vectors.at(source, source_start)
    cgutils.raw_memcpy(vectors.builder, to, come_from, count, vectors.itemsize)


@vector_code
def add_run(vectors, target, target_start, source, source_start, count):
    """Add ``count`` elements of ``source`` to those of ``target``; the arrays do not overlap."""
    builder = vectors.builder
    to, come_from = vectors.at(target, target_start), vectors.at(source, source_start)
    whole = builder.and_(count, _INDEX(-vectors.length))

    def add(index: Any, length: int) -> None:
        place = vectors.at(to, index)
        values = vectors.load(place, length), vectors.load(vectors.at(come_from, index), length)
        vectors.store(builder.fadd(*values), place)

    with cgutils.for_range_slice(builder, _INDEX(0), whole, _INDEX(vectors.length), _INDEX) as (index, _):
        add(index, vectors.length)
    length = vectors.length // 2
    while length:
        # What is left, in vectors of half the length, a quarter, and so on.
        with builder.if_then(builder.icmp_signed("!=", builder.and_(count, _INDEX(length)), _INDEX(0))):
            add(builder.and_(count, _INDEX(-2 * length)), length)
        length //= 2


def _transpose(vectors: Vectors, rows: list[Any]) -> list[Any]:
    """The elements of a power of two of vectors, all first ones before all second ones and so on."""
    half, middle = len(rows) // 2, vectors.length // 2
    for _ in range(half.bit_length()):
        # The first half of all elements is interleaved with the second.
        woven = []
        for a, b in zip(rows[:half], rows[half:], strict=True):
            for first in (0, middle):
                picks = [lane + side for lane in range(first, first + middle) for side in (0, vectors.length)]
                woven.append(vectors.shuffle(a, b, picks))
        rows = woven
    return rows


@vector_code
def pack_block(vectors, packed, packed_at, weight, start, row_stride):
    """``packed[k * ROWS + r] = weight[start + r * row_stride + k]`` for a vector's length of k."""
    come_from = vectors.at(weight, start)
    places = [vectors.at(come_from, vectors.builder.mul(row_stride, _INDEX(row))) for row in range(ROWS)]
    for i, value in enumerate(_transpose(vectors, [vectors.load(place) for place in places])):
        vectors.store(value, vectors.at(vectors.at(packed, packed_at), i * vectors.length))


@vector_code
def add_block(vectors, weight, start, row_stride, sums, sums_at, part_step, parts):
    """``weight[start + r * row_stride + k] += sum over p < parts of sums[sums_at + p * part_step + k * ROWS + r]``.

    For a vector's length of k; there is at least one part.
    """
    builder = vectors.builder
    to, come_from = vectors.at(weight, start), vectors.at(sums, sums_at)
    places = [vectors.at(come_from, i * vectors.length) for i in range(ROWS)]
    totals = [cgutils.alloca_once_value(builder, vectors.load(place)) for place in places]
    with cgutils.for_range_slice(builder, _INDEX(1), parts, _INDEX(1)) as (p, _):
        step = builder.mul(p, part_step)
        for total, place in zip(totals, places, strict=True):
            builder.store(builder.fadd(builder.load(total), vectors.load(vectors.at(place, step))), total)
    rows = [builder.load(total) for total in totals]
    lanes = list(range(2 * vectors.length))
    for _ in range((ROWS // 2).bit_length()):
        # All even elements come before all odd ones: what `_transpose` does, backwards.
        pairs = list(zip(rows[::2], rows[1::2], strict=True))
        rows = [vectors.shuffle(a, b, lanes[side::2]) for side in (0, 1) for a, b in pairs]
    for row, value in enumerate(rows):
        target = vectors.at(to, builder.mul(row_stride, _INDEX(row)))
        vectors.store(builder.fadd(vectors.load(target), value), target)


@vector_code
def copy_strip(vectors, target, target_start, source, source_start):
    """Copy `STREAMS` vectors."""
    to, come_from = vectors.at(target, target_start), vectors.at(source, source_start)
    values = [vectors.load(vectors.at(come_from, v * vectors.length)) for v in range(STREAMS)]
    for v, value in enumerate(values):
        vectors.store(value, vectors.at(to, v * vectors.length))


@vector_code
def pick_run(vectors, target, target_start, source, source_start, stride, count):
    """``target[i] = source[i * stride]`` for ``count`` elements; pairs of vectors are sorted where the stride is 2."""
    builder, length = vectors.builder, _INDEX(vectors.length)
    to, come_from = vectors.at(target, target_start), vectors.at(source, source_start)
    done = cgutils.alloca_once_value(builder, _INDEX(0))
    with builder.if_then(builder.icmp_signed("==", stride, _INDEX(2))):
        # The last vectors would read one element too many.
        whole = builder.sdiv(builder.sub(count, _INDEX(1)), length)
        with cgutils.for_range(builder, whole) as loop:
            first = builder.mul(loop.index, length)
            pair = vectors.at(come_from, builder.mul(first, _INDEX(2)))
            low, high = vectors.load(pair), vectors.load(vectors.at(pair, vectors.length))
            even = vectors.shuffle(low, high, list(range(0, 2 * vectors.length, 2)))
            vectors.store(even, vectors.at(to, first))
        positive = builder.icmp_signed(">", whole, _INDEX(0))
        builder.store(builder.select(positive, builder.mul(whole, length), _INDEX(0)), done)
    with cgutils.for_range_slice(builder, builder.load(done), count, _INDEX(1)) as (i, _):
        builder.store(builder.load(vectors.at(come_from, builder.mul(i, stride))), vectors.at(to, i))


@vector_code
def spread_run(vectors, target, target_start, stride, source, source_start, count):
    """``target[i * stride] = source[i]`` for ``count`` elements."""
    builder = vectors.builder
    to, come_from = vectors.at(target, target_start), vectors.at(source, source_start)
    with cgutils.for_range(builder, count) as loop:
        builder.store(builder.load(vectors.at(come_from, loop.index)), vectors.at(to, builder.mul(loop.index, stride)))


@vector_code
def clear_run(vectors, target, start, count):
    """Set ``count`` elements to 0."""
    size = vectors.builder.mul(count, _INDEX(vectors.itemsize))
    cgutils.memset(vectors.builder, vectors.at(target, start), size, 0)


multiply_1, multiply_2, multiply_4, multiply_8 = (_make_multiply(rows) for rows in (1, 2, 4, 8))
convolve_1, convolve_2, convolve_4, convolve_8 = (_make_convolve(rows) for rows in (1, 2, 4, 8))
correlate_1, correlate_2, correlate_4, correlate_8 = (_make_correlate(rows) for rows in (1, 2, 4, 8))
