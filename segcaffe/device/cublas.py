"""Products of matrices by cuBLAS, on views of row-major arrays; and the arithmetic they are made in.

cuBLAS reads memory by columns, so a row-major product C = A B is asked for as C' = B' A'. Rows may lie any distance
apart, which CuPy's own ``matmul`` would copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.device import cublas_library
from segcaffe.device.mode import Array
from segcaffe.device.settings import settings

_TENSOR_FLOAT_32 = 3  # CUBLAS_TF32_TENSOR_OP_MATH
_DEFAULT = 0  # CUBLAS_DEFAULT_MATH


def gemm(
    a: Array, b: Array, out: Array, trans_a: bool = False, trans_b: bool = False, alpha: float = 1.0, beta: float = 0.0
) -> None:
    """``out = alpha * op(a) @ op(b) + beta * out`` for matrices whose rows may lie any distance apart.

    Raises
    ------
    ValueError
        The shapes do not make a product, or the elements of a row are not next to each other.
    """
    m, n, k = _sizes(a, b, out, trans_a, trans_b)
    if k == 0:
        out[...] = out * beta if beta else 0
    if 0 in (m, n, k):
        return
    numbers = np.array([alpha, beta], out.dtype)
    at, step = numbers.ctypes.data, numbers.itemsize
    library = _library()
    handle = _handle(library)
    multiply = library.dgemm if out.dtype == np.float64 else library.sgemm
    multiply(
        handle, int(trans_b), int(trans_a), n, m, k, at, b.data.ptr, _pitch(b), a.data.ptr, _pitch(a), at + step,
        out.data.ptr, _pitch(out),
    )  # fmt: skip


def gemm_batched(
    a: Array, b: Array, out: Array, trans_a: bool = False, trans_b: bool = False, alpha: float = 1.0, beta: float = 0.0
) -> None:
    """`gemm` for each matrix of ``out`` (N, M, K) in one call; of ``a`` and ``b`` there are N, or one for all.

    Raises
    ------
    ValueError
        As for `gemm`, or the numbers of matrices do not fit.
    """
    count = len(out)
    if count == 1 or out.size == 0 or a.size == 0:
        for i in range(count):
            gemm(a[i % len(a)], b[i % len(b)], out[i], trans_a, trans_b, alpha, beta)
        return
    if {len(a), len(b)} - {1, count}:
        raise ValueError(f"gemm_batched: {len(a)} and {len(b)} matrices do not make {count}")
    m, n, k = _sizes(a[0], b[0], out[0], trans_a, trans_b)
    numbers = np.array([alpha, beta], out.dtype)
    at, step = numbers.ctypes.data, numbers.itemsize
    library = _library()
    handle = _handle(library)
    multiply = library.dgemmStridedBatched if out.dtype == np.float64 else library.sgemmStridedBatched
    multiply(
        handle, int(trans_b), int(trans_a), n, m, k, at, b.data.ptr, _pitch(b[0]), _stride(b), a.data.ptr,
        _pitch(a[0]), _stride(a), at + step, out.data.ptr, _pitch(out[0]), _stride(out), count,
    )  # fmt: skip


def _sizes(a: Array, b: Array, out: Array, trans_a: bool, trans_b: bool) -> tuple[int, int, int]:
    """Rows and columns of ``out`` and the length of the sums."""
    m, n = out.shape
    k = a.shape[0] if trans_a else a.shape[1]
    shapes = (a.shape[::-1] if trans_a else a.shape, b.shape[::-1] if trans_b else b.shape)
    if shapes != ((m, k), (k, n)):
        raise ValueError(f"gemm: shapes {shapes[0]} and {shapes[1]} do not make a product of shape {out.shape}")
    return m, n, k


def _stride(matrices: Array) -> int:
    """Elements from one matrix to the next; 0 if one serves all."""
    return int(matrices.strides[0]) // int(matrices.itemsize) if len(matrices) > 1 else 0


def _pitch(matrix: Array) -> int:
    """Elements from one row to the next."""
    row, element = matrix.strides
    rows, columns = matrix.shape
    if columns > 1 and element != matrix.itemsize:
        raise ValueError("gemm: the elements of a row must be next to each other")
    return max(int(row) // int(matrix.itemsize) if rows > 1 else 0, int(columns))


def _library() -> Any:
    return cublas_library.library()


def _handle(library: Any) -> Any:
    """The device's handle, told the arithmetic, for CuPy's current stream."""
    handle = cublas_library.address()
    library.setMathMode(handle, _TENSOR_FLOAT_32 if settings().math == "tf32" else _DEFAULT)
    return handle
