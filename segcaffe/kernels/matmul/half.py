"""Products of a few rows with many that are kept in half precision, each widened on its way to the registers.

What bounds such products is how fast memory delivers the many rows, of which there are half as many bytes.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

import platform

from llvmlite import binding as llvm
from llvmlite import ir
from numba.core import cgutils

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.tile import vector_code

IS_FAST = bool(llvm.get_host_cpu_features().get("f16c")) or platform.machine() in ("aarch64", "arm64")
"""Whether the processor widens numbers itself."""
_CHAINS = 4
"""Sums that do not wait for each other."""


@vector_code
def _dot(vectors, row, at, other, other_at, count, out, out_at):
    """``out[out_at]`` becomes the sum of ``row[at + i] * other[other_at + i]``; ``other`` holds bits of halves."""
    builder, length = vectors.builder, vectors.length
    row, other = vectors.at(row, at), vectors.at(other, other_at)
    scalar, half = vectors.type.element, ir.HalfType()
    several = ir.VectorType(half, length)
    totals = [cgutils.alloca_once_value(builder, vectors.zero) for _ in range(_CHAINS)]
    whole = builder.sdiv(count, vectors.index(_CHAINS * length))
    with cgutils.for_range(builder, whole) as loop:
        first = builder.mul(loop.index, vectors.index(_CHAINS * length))
        for chain, total in enumerate(totals):
            place = builder.add(first, vectors.index(chain * length))
            bits = builder.bitcast(vectors.at(other, place), several.as_pointer())
            wide = builder.fpext(builder.load(bits, align=2), vectors.type)
            added = vectors.multiply_add(vectors.load(vectors.at(row, place)), wide, builder.load(total))
            builder.store(added, total)
    first, second, third, fourth = (builder.load(total) for total in totals)
    sums = vectors.sums([builder.fadd(builder.fadd(first, second), builder.fadd(third, fourth))])
    result = cgutils.alloca_once_value(builder, builder.extract_element(sums, ir.IntType(32)(0)))
    done = builder.mul(whole, vectors.index(_CHAINS * length))
    with cgutils.for_range_slice(builder, done, count, vectors.index(1), count.type) as (place, _):
        bits = builder.bitcast(vectors.at(other, place), half.as_pointer())
        product = builder.fmul(builder.load(vectors.at(row, place)), builder.fpext(builder.load(bits, align=2), scalar))
        builder.store(builder.fadd(builder.load(result), product), result)
    builder.store(builder.load(result), vectors.at(out, out_at))


@njit(nogil=True, cache=True)
def multiply(left, right, out, sizes, start, stop):
    """``out = left @ right.T`` for rows start..stop of ``right``, bits of halves (uint16).

    All are flat; ``sizes`` are the rows of ``left`` and of ``right``, and their length.
    """
    items, rows, depth = sizes
    for n in range(start, stop):
        for m in range(items):
            _dot(left, m * depth, right, n * depth, depth, out, m * rows + n)
