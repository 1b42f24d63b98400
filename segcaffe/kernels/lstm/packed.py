"""Products of a few rows with weights that were packed once for many products.

BLAS packs both operands at each call, which for a step of a recurrent network (few rows, the same weights again) costs
more than the product. Here weights lie in strips of columns as wide as a tile of vector registers, rows in groups as
high as that tile.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from segcaffe.device.mode import Array
from segcaffe.jit.compiled import njit

_features = llvm.get_host_cpu_features()
_VECTOR_BYTES = 64 if _features.get("avx512f") else 32 if _features.get("avx") else 16
_VECTORS = 3
ROWS = 8 if _VECTOR_BYTES == 64 else 4
"""Rows of a tile: ROWS * _VECTORS sums, with _VECTORS weights and a factor, fill the registers."""

_INDEX = ir.IntType(64)


def strip_length(dtype: Any) -> int:
    """Columns of a strip."""
    return _VECTORS * _VECTOR_BYTES // int(np.dtype(dtype).itemsize)


def pack(weight: Array) -> Array:
    """Weights (K, N) as strips of columns (strips, K, strip length), filled up with zeros."""
    depth, columns = weight.shape
    strip = strip_length(weight.dtype)
    panels = np.zeros((-(-columns // strip), depth, strip), weight.dtype)
    for b, panel in enumerate(panels):
        part = weight[:, b * strip : (b + 1) * strip]
        panel[:, : part.shape[1]] = part
    return panels


@intrinsic
def _tile(_typing, panel, panel_at, left, left_at, count, out, out_at, stride):
    """out[r, :] = sum over k < count of left[k, r] * panel[k, :], for ROWS rows; flat arrays with start indices."""
    signature = types.void(panel, panel_at, left, left_at, count, out, out_at, stride)

    def codegen(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        length = _VECTOR_BYTES // context.get_abi_sizeof(context.get_value_type(panel.dtype))
        vector = ir.VectorType(context.get_value_type(panel.dtype), length)

        def pointer(kind: Any, array: Any, start: Any) -> Any:
            data = cgutils.create_struct_proxy(kind)(context, builder, value=array).data
            return builder.gep(data, [start])

        def vector_at(base: Any, index: Any) -> Any:
            return builder.bitcast(builder.gep(base, [index]), vector.as_pointer())

        weights, rows = pointer(panel, args[0], args[1]), pointer(left, args[2], args[3])
        zero = ir.Constant(vector, [0.0] * length)
        before, loop, after = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("after")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(_INDEX)
        sums = [builder.phi(vector) for _ in range(ROWS * _VECTORS)]
        line = builder.mul(k, _INDEX(_VECTORS * length))
        loaded = [
            builder.load(vector_at(weights, builder.add(line, _INDEX(v * length))), align=4) for v in range(_VECTORS)
        ]
        added = []
        for r in range(ROWS):
            factor = builder.load(builder.gep(rows, [builder.add(builder.mul(k, _INDEX(ROWS)), _INDEX(r))]))
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), factor, ir.IntType(32)(0))
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), length), [0] * length)
            wide = builder.shuffle_vector(first, first, lanes)
            for v in range(_VECTORS):
                product = builder.fmul(wide, loaded[v], flags=("contract",))
                added.append(builder.fadd(product, sums[r * _VECTORS + v], flags=("contract",)))
        following = builder.add(k, _INDEX(1))
        for phi, start, value in zip([k, *sums], [_INDEX(0)] + [zero] * len(sums), [following, *added], strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[4]), loop, after)
        builder.position_at_end(after)
        to = pointer(out, args[5], args[6])
        for i, value in enumerate(added):
            at = builder.add(builder.mul(args[7], _INDEX(i // _VECTORS)), _INDEX(i % _VECTORS * length))
            builder.store(value, vector_at(to, at), align=4)
        return context.get_dummy_value()

    return signature, codegen


@njit(nogil=True, cache=True)
def arrange(row, factor, n, left):
    """Put one row, times a factor, where `multiply` expects row ``n`` of its left operand (groups, K, ROWS)."""
    group, place = n // ROWS, n % ROWS
    for k in range(row.size):
        left[group, k, place] = row[k] * factor


@njit(nogil=True, cache=True)
def multiply(left, panels, out):
    """Rows times weights: ``left`` (groups, K, ROWS), ``panels`` of `pack`, ``out`` (groups * ROWS, padded columns)."""
    strips, depth, strip = panels.shape
    groups, stride = left.shape[0], out.shape[1]
    rows, weights, to = left.reshape(-1), panels.reshape(-1), out.reshape(-1)
    for b in range(strips):
        for group in range(groups):
            at = group * ROWS * stride + b * strip
            _tile(weights, b * depth * strip, rows, group * depth * ROWS, depth, to, at, stride)


@njit(nogil=True, cache=True)
def operands(panels, num, dtype):
    """Left operand (zeros) and result of `multiply` for ``num`` rows."""
    groups = (num + ROWS - 1) // ROWS
    left = np.zeros((groups, panels.shape[1], ROWS), dtype)
    return left, np.zeros((groups * ROWS, panels.shape[0] * panels.shape[2]), dtype)
