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
        self.builder = builder
        scalar = context.get_value_type(dtype)
        self.length = _VECTOR_BYTES // (4 if dtype == types.float32 else 8)
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
    @intrinsic
    def multiply(typing, x, start, offsets, weight, weight_at, count, bias, bias_at, out, out_at, stride, ahead):
        signature = types.void(x, start, offsets, weight, weight_at, count, bias, bias_at, out, out_at, stride, ahead)

        def generate(context, builder, signature, args):
            vectors = Vectors(context, builder, x.dtype)
            arrays = ((x, args[0], args[1]), (offsets, args[2], _INDEX(0)), (weight, args[3], args[4]))
            addresses = [address(context, vectors, *array) for array in arrays]
            bias_from = address(context, vectors, bias, args[6], args[7])
            out_from = address(context, vectors, out, args[8], args[9])
            fetch = None if ahead == types.none else lambda _, source: vectors.at(source, args[11])
            values = []
            for row, sums in enumerate(_products(vectors, rows, addresses, args[5], fetch)):
                # Last, so that a bias larger than the products does not cost their sum its digits.
                last = vectors.splat(builder.load(vectors.at(bias_from, row)))
                values += [builder.fadd(value, last) for value in sums]
            _store_rows(vectors, values, out_from, args[10])
            return context.get_dummy_value()

        return signature, generate

    return multiply


def _make_convolve(rows: int) -> Any:
    """``epilogue`` is (scale, bias) for each row, from ``epilogue_at`` on, and a slope of the arrays' type."""

    @intrinsic
    def convolve(typing, x, start, offsets, weight, at, count, epilogue, epilogue_at, out, out_at, stride, fetch):
        signature = types.void(x, start, offsets, weight, at, count, epilogue, epilogue_at, out, out_at, stride, fetch)

        def generate(context, builder, signature, args):
            vectors = Vectors(context, builder, x.dtype)
            arrays = ((x, args[0], args[1]), (offsets, args[2], _INDEX(0)), (weight, args[3], args[4]))
            addresses = [address(context, vectors, *array) for array in arrays]
            table, slope = (builder.extract_value(args[6], i) for i in range(2))
            table_from = address(context, vectors, epilogue.types[0], table, args[7])
            out_from = address(context, vectors, out, args[8], args[9])
            fetched = None
            if fetch != types.none:
                source, first, step, lines, rate = (builder.extract_value(args[11], i) for i in range(5))
                fetch_from = address(context, vectors, fetch.types[0], source, first)

                def fetched(k, _):
                    number = builder.lshr(builder.mul(k, rate), _INDEX(16))
                    row = builder.lshr(number, lines)
                    line = builder.sub(number, builder.shl(row, lines))
                    place = builder.add(builder.mul(row, step), builder.mul(line, _INDEX(vectors.length)))
                    return vectors.at(fetch_from, place)

            values = []
            for row, sums in enumerate(_products(vectors, rows, addresses, args[5], fetched)):
                scale, bias = (vectors.splat(builder.load(vectors.at(table_from, 2 * row + i))) for i in (0, 1))
                values += [vectors.multiply_add(value, scale, bias) for value in sums]
            _store_rows(vectors, vectors.rectify(values, slope), out_from, args[10])
            return context.get_dummy_value()

        return signature, generate

    return convolve


def _make_correlate(rows: int) -> Any:
    @intrinsic
    def correlate(typing, a, a_stride, x, start, offsets, first, count, out, out_start):
        signature = types.void(a, a_stride, x, start, offsets, first, count, out, out_start)

        def generate(context, builder, signature, args):
            vectors = Vectors(context, builder, x.dtype)
            a_from = address(context, vectors, a, args[0], args[3])
            x_from = address(context, vectors, x, args[2], args[3])
            offsets_from = address(context, vectors, offsets, args[4], args[5])
            out_from = address(context, vectors, out, args[7], args[8])
            sources = [vectors.at(x_from, builder.load(vectors.at(offsets_from, j))) for j in range(STREAMS)]
            lines = [vectors.at(a_from, builder.mul(args[1], _INDEX(row))) for row in range(rows)]

            def step(p):
                return lambda row: vectors.load(vectors.at(lines[row], p)), [
                    vectors.load(vectors.at(source, p)) for source in sources
                ]

            sums = _loop(vectors, args[6], vectors.length, [vectors.zero] * rows, step)
            for j in range(STREAMS):
                target = vectors.at(out_from, j * ROWS)
                total = vectors.sums([line[j] for line in sums])
                vectors.store(builder.fadd(vectors.load(target, rows), total), target)
            return context.get_dummy_value()

        return signature, generate

    return correlate


@intrinsic
def copy_run(typing, target, target_start, source, source_start, count):
    """Copy ``count`` elements; the arrays do not overlap."""
    signature = types.void(target, target_start, source, source_start, count)

    def generate(context, builder, signature, args):
        vectors = Vectors(context, builder, target.dtype)
        to = address(context, vectors, target, args[0], args[1])
        come_from = address(context, vectors, source, args[2], args[3])
        size = context.get_abi_sizeof(context.get_value_type(target.dtype))
        cgutils.raw_memcpy(builder, to, come_from, args[4], size)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_run(typing, target, target_start, source, source_start, count):
    """Add ``count`` elements of ``source`` to those of ``target``; the arrays do not overlap."""
    signature = types.void(target, target_start, source, source_start, count)

    def generate(context, builder, signature, args):
        vectors = Vectors(context, builder, target.dtype)
        to = address(context, vectors, target, args[0], args[1])
        come_from = address(context, vectors, source, args[2], args[3])
        whole = builder.and_(args[4], _INDEX(-vectors.length))

        def add(index: Any, length: int) -> None:
            place = vectors.at(to, index)
            values = vectors.load(place, length), vectors.load(vectors.at(come_from, index), length)
            vectors.store(builder.fadd(*values), place)

        with cgutils.for_range_slice(builder, _INDEX(0), whole, _INDEX(vectors.length), _INDEX) as (index, _):
            add(index, vectors.length)
        length = vectors.length // 2
        while length:
            # What is left, in vectors of half the length, a quarter, and so on.
            with builder.if_then(builder.icmp_signed("!=", builder.and_(args[4], _INDEX(length)), _INDEX(0))):
                add(builder.and_(args[4], _INDEX(-2 * length)), length)
            length //= 2
        return context.get_dummy_value()

    return signature, generate


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


@intrinsic
def pack_block(typing, packed, packed_at, weight, start, row_stride):
    """``packed[k * ROWS + r] = weight[start + r * row_stride + k]`` for a vector's length of k."""
    signature = types.void(packed, packed_at, weight, start, row_stride)

    def generate(context, builder, signature, args):
        vectors = Vectors(context, builder, weight.dtype)
        to = address(context, vectors, packed, args[0], args[1])
        come_from = address(context, vectors, weight, args[2], args[3])
        rows = [vectors.load(vectors.at(come_from, builder.mul(args[4], _INDEX(row)))) for row in range(ROWS)]
        for i, value in enumerate(_transpose(vectors, rows)):
            vectors.store(value, vectors.at(to, i * vectors.length))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def add_block(typing, weight, start, row_stride, sums, sums_at, part_step, parts):
    """``weight[start + r * row_stride + k] += sum over p < parts of sums[sums_at + p * part_step + k * ROWS + r]``.

    For a vector's length of k; there is at least one part.
    """
    signature = types.void(weight, start, row_stride, sums, sums_at, part_step, parts)

    def generate(context, builder, signature, args):
        vectors = Vectors(context, builder, weight.dtype)
        to = address(context, vectors, weight, args[0], args[1])
        come_from = address(context, vectors, sums, args[3], args[4])
        places = [vectors.at(come_from, i * vectors.length) for i in range(ROWS)]
        totals = [cgutils.alloca_once_value(builder, vectors.load(place)) for place in places]
        with cgutils.for_range_slice(builder, _INDEX(1), args[6], _INDEX(1)) as (p, _):
            step = builder.mul(p, args[5])
            for total, place in zip(totals, places, strict=True):
                builder.store(builder.fadd(builder.load(total), vectors.load(vectors.at(place, step))), total)
        rows = [builder.load(total) for total in totals]
        lanes = list(range(2 * vectors.length))
        for _ in range((ROWS // 2).bit_length()):
            # All even elements come before all odd ones: what `_transpose` does, backwards.
            pairs = list(zip(rows[::2], rows[1::2], strict=True))
            rows = [vectors.shuffle(a, b, lanes[side::2]) for side in (0, 1) for a, b in pairs]
        for row, value in enumerate(rows):
            target = vectors.at(to, builder.mul(args[2], _INDEX(row)))
            vectors.store(builder.fadd(vectors.load(target), value), target)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def copy_strip(typing, target, target_start, source, source_start):
    """Copy `STREAMS` vectors."""
    signature = types.void(target, target_start, source, source_start)

    def generate(context, builder, signature, args):
        vectors = Vectors(context, builder, target.dtype)
        to = address(context, vectors, target, args[0], args[1])
        come_from = address(context, vectors, source, args[2], args[3])
        values = [vectors.load(vectors.at(come_from, v * vectors.length)) for v in range(STREAMS)]
        for v, value in enumerate(values):
            vectors.store(value, vectors.at(to, v * vectors.length))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def pick_run(typing, target, target_start, source, source_start, stride, count):
    """``target[i] = source[i * stride]`` for ``count`` elements; pairs of vectors are sorted where the stride is 2."""
    signature = types.void(target, target_start, source, source_start, stride, count)

    def generate(context, builder, signature, args):
        vectors = Vectors(context, builder, target.dtype)
        to = address(context, vectors, target, args[0], args[1])
        come_from = address(context, vectors, source, args[2], args[3])
        length = _INDEX(vectors.length)
        done = cgutils.alloca_once_value(builder, _INDEX(0))
        with builder.if_then(builder.icmp_signed("==", args[4], _INDEX(2))):
            # The last vectors would read one element too many.
            whole = builder.sdiv(builder.sub(args[5], _INDEX(1)), length)
            with cgutils.for_range(builder, whole) as loop:
                first = builder.mul(loop.index, length)
                pair = vectors.at(come_from, builder.mul(first, _INDEX(2)))
                low, high = vectors.load(pair), vectors.load(vectors.at(pair, vectors.length))
                even = vectors.shuffle(low, high, list(range(0, 2 * vectors.length, 2)))
                vectors.store(even, vectors.at(to, first))
            positive = builder.icmp_signed(">", whole, _INDEX(0))
            builder.store(builder.select(positive, builder.mul(whole, length), _INDEX(0)), done)
        with cgutils.for_range_slice(builder, builder.load(done), args[5], _INDEX(1)) as (i, _):
            builder.store(builder.load(vectors.at(come_from, builder.mul(i, args[4]))), vectors.at(to, i))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def spread_run(typing, target, target_start, stride, source, source_start, count):
    """``target[i * stride] = source[i]`` for ``count`` elements."""
    signature = types.void(target, target_start, stride, source, source_start, count)

    def generate(context, builder, signature, args):
        vectors = Vectors(context, builder, target.dtype)
        to = address(context, vectors, target, args[0], args[1])
        come_from = address(context, vectors, source, args[3], args[4])
        with cgutils.for_range(builder, args[5]) as loop:
            builder.store(
                builder.load(vectors.at(come_from, loop.index)), vectors.at(to, builder.mul(loop.index, args[2]))
            )
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def clear_run(typing, target, start, count):
    """Set ``count`` elements to 0."""

    def generate(context, builder, signature, args):
        to = address(context, Vectors(context, builder, target.dtype), target, args[0], args[1])
        size = context.get_abi_sizeof(context.get_value_type(target.dtype))
        cgutils.memset(builder, to, builder.mul(args[2], _INDEX(size)), 0)
        return context.get_dummy_value()

    return types.void(target, start, count), generate


multiply_1, multiply_2, multiply_4, multiply_8 = (_make_multiply(rows) for rows in (1, 2, 4, 8))
convolve_1, convolve_2, convolve_4, convolve_8 = (_make_convolve(rows) for rows in (1, 2, 4, 8))
correlate_1, correlate_2, correlate_4, correlate_8 = (_make_correlate(rows) for rows in (1, 2, 4, 8))
