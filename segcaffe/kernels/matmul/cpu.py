"""Matrix products on the CPU: each thread makes some of the rows or columns, by single-threaded BLAS or by `loops`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segcaffe.jit.compiled import CONTRACT, njit
from segcaffe.kernels.matmul import dots, half, loops
from segcaffe.kernels.vector import blas
from segcaffe.kernels.vector.scratch import scratch
from segcaffe.kernels.vector.tile import ROWS, strip_length, vector_length
from segcaffe.threads import calls, parallel, recording

Array = np.ndarray[Any, Any]
_SMALL = 1 << 20
"""Multiply-adds below which a second thread saves little, and BLAS computes differently: results would depend on how
many threads there are."""
_COLUMNS, _FEW_ROWS, _FEW_TERMS = (40, 1024), 64, 64
_WIDE_REGISTERS = ROWS * vector_length(np.float32) >= 128
_GRAIN = 1 << 15
"""Elements worth a thread of their own."""
_LINES = 1 << 17
"""The same of a factor that is only read through once."""
Then = Callable[[Array, int, int], Any]
_SIGNATURES = [
    f"void(boolean, boolean, float64, {t}[:, :], {t}[:, :], float64, {t}[:, :])" for t in ("float32", "float64")
]


def gemm(
    a: Array, b: Array, out: Array, trans_a: bool = False, trans_b: bool = False, alpha: float = 1.0, beta: float = 0.0
) -> None:
    """``out = alpha * op(a) @ op(b) + beta * out``; see the contract."""
    multiply(a, b, out, trans_a, trans_b, alpha, beta)


def multiply(
    a: Array,
    b: Array,
    out: Array,
    trans_a: bool = False,
    trans_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
    then: Then | None = None,
) -> None:
    """`gemm` for other kernels.

    ``then`` tells, of each part of ``out`` and its first row and column, the calls to make when it is finished, by the
    thread that made it.
    """
    _check(a, b, out, trans_a, trans_b)
    plain = alpha == 1 and beta == 0 and trans_b and not trans_a and then is None
    if b.dtype == np.float16:
        if plain and half.IS_FAST and _is_better_by_dots(a, b, out):
            _multiply_half(a, b, out)
            return
        b = _widened(b, a.dtype)
    rows, columns = out.shape
    depth = a.shape[0] if trans_a else a.shape[1]
    if depth == 0 or rows == 0 or columns == 0:
        recording.refuse()
        out[...] = out * beta if beta else 0
        if then is not None:
            calls.run(1, lambda _start, _stop: then(out, 0, 0))
        return
    if alpha == 1 and beta == 0 and not trans_b and _is_better_by_tiles(a, b, out, depth):
        _multiply_tiles(a, b, out, trans_a, then)
        return
    if plain and _is_better_by_dots(a, b, out):
        _multiply_dots(a, b, out)
        return
    by_rows = rows > columns

    def part(start: int, stop: int) -> Any:
        if by_rows:
            left, right = a[:, start:stop] if trans_a else a[start:stop], b
        else:
            left, right = a, b[start:stop] if trans_b else b[:, start:stop]
        made = out[start:stop] if by_rows else out[:, start:stop]
        product = _gemm, (trans_a, trans_b, alpha, left, right, beta, made)
        return product, *(() if then is None else then(made, *((start, 0) if by_rows else (0, start))))

    long = rows if by_rows else columns
    grain = max(16, -(-_SMALL * long // (rows * columns * depth)))
    # Each part packs the shared operand anew, so there are as many parts as threads and not more.
    calls.run(long, part, grain=grain, blocks=parallel.parts(long, grain))


def _is_better_by_tiles(a: Array, b: Array, out: Array, depth: int) -> bool:
    """Whether `loops` is faster than BLAS: on processors with many wide registers, where few columns keep them busy."""
    contiguous = b.flags.c_contiguous and out.flags.c_contiguous
    return few(out.shape[1]) and len(out) >= _FEW_ROWS and depth >= _FEW_TERMS and contiguous


def few(columns: int) -> bool:
    """Whether products of so many columns go by `loops`, if both factors are large enough."""
    return _WIDE_REGISTERS and _COLUMNS[0] <= columns <= _COLUMNS[1]


def _is_better_by_dots(a: Array, b: Array, out: Array) -> bool:
    """Whether `dots` is faster than BLAS, which copies ``b`` first."""
    return len(a) <= dots.FEW and a.flags.c_contiguous and b.flags.c_contiguous and out.flags.c_contiguous


def _multiply_dots(a: Array, b: Array, out: Array) -> None:
    """``out = a @ b.T`` for few rows of ``a``; those of ``b`` are divided among threads."""
    grain = max(1, _LINES // (dots.ROWS * b.shape[1]))
    calls.run(-(-len(b) // dots.ROWS), lambda start, stop: ((dots.multiply, (a, b, out, start, stop)),), grain)


def _multiply_half(a: Array, b: Array, out: Array) -> None:
    """`_multiply_dots` of a ``b`` in half precision."""
    grain, flat = max(1, _LINES // b.shape[1]), (a.reshape(-1), b.reshape(-1).view(np.uint16), out.reshape(-1))
    sizes = len(a), *b.shape
    calls.run(len(b), lambda start, stop: ((half.multiply, (*flat, sizes, start, stop)),), grain)


def _widened(b: Array, dtype: Any) -> Array:
    """A factor of half precision as one of another type, in scratch memory."""
    wide: Array = scratch("matmul_wide", b.size, dtype).reshape(b.shape)
    calls.call(np.copyto, wide, b)
    return wide


def _multiply_tiles(a: Array, b: Array, out: Array, trans_a: bool, then: Then | None) -> None:
    """``out = op(a) @ b``, rows divided among threads."""
    tiles, strip = -(-len(out) // ROWS), strip_length(out.dtype)
    memory = packed_elements(out.shape[1], out.dtype)

    def part(start: int, stop: int) -> Any:
        product = loops.multiply, (a, b, out, trans_a, scratch("matmul", memory, out.dtype), strip, start, stop)
        return product, *(() if then is None else then(out[start * ROWS : stop * ROWS], start * ROWS, 0))

    grain = max(1, -(-_SMALL // (ROWS * out.shape[1] * len(b))))
    # Each part packs the right factor anew.
    calls.run(tiles, part, grain=grain, blocks=parallel.parts(tiles, grain))


def packed_elements(columns: int, dtype: Any) -> int:
    """Elements that each thread packs that multiplies by `loops`."""
    strip = strip_length(dtype)
    return loops.DEPTH * (ROWS + -(-columns // strip) * strip)


def finish(
    out: Array, bias: Array | None = None, scale: Array | None = None, negative_slope: float | Array = 1.0
) -> None:
    """Scale, add and rectify; see the contract."""
    rectifies = isinstance(negative_slope, np.ndarray) or negative_slope != 1
    if out.size == 0 or (bias is None and scale is None and not rectifies):
        recording.nothing()
        return
    table = np.empty((3, out.shape[1]), out.dtype)
    table[0] = 1 if scale is None else scale
    table[1] = 0 if bias is None else bias
    table[2] = negative_slope
    grain = max(1, _GRAIN // out.shape[1])
    calls.run(len(out), lambda start, stop: ((_finish, (out[start:stop], table)),), grain)


def _check(a: Array, b: Array, out: Array, trans_a: bool, trans_b: bool) -> None:
    rows, depth = a.shape[::-1] if trans_a else a.shape
    depth_b, columns = b.shape[::-1] if trans_b else b.shape
    if depth != depth_b or out.shape != (rows, columns):
        raise ValueError(
            f"gemm: op(a) (M, K), op(b) (K, N) and out (M, N) do not fit together. "
            f"Received: {(rows, depth)}, {(depth_b, columns)} and {out.shape}."
        )
    if any(m.strides[1] != m.itemsize for m in (a, b, out) if m.size and m.shape[1] > 1):
        raise ValueError("gemm: the elements of a row must lie next to each other; pass a transposed view by trans_*.")


@njit(_SIGNATURES, nogil=True, cache=True)
def _gemm(trans_a, trans_b, alpha, a, b, beta, out):
    m, n = out.shape
    k = a.shape[0] if trans_a else a.shape[1]
    size = out.itemsize
    # A matrix of one row may have any stride; BLAS wants a leading dimension that covers the row.
    lda = max(a.strides[0] // size, a.shape[1])
    ldb = max(b.strides[0] // size, b.shape[1])
    ldc = max(out.strides[0] // size, n)
    blas.gemm((trans_a, trans_b), (m, n, k), (alpha, beta), a, lda, b, ldb, out, ldc)


@njit(
    [f"void({t}[:, ::1], {t}[:, ::1])" for t in ("float32", "float64")],
    nogil=True,
    cache=True,
    error_model="numpy",
    fastmath=CONTRACT,
)
def _finish(out, table):
    for row in range(out.shape[0]):
        for i in range(out.shape[1]):
            value, slope = out[row, i] * table[0, i] + table[1, i], table[2, i]
            low = slope * value if slope != 0 else slope
            out[row, i] = low if value <= 0 else value
