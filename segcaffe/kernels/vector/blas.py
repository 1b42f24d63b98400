"""Matrix products from inside compiled kernels.

`gemm` is callable from Numba functions (and only from there): it goes straight to the BLAS that SciPy ships, on raw
addresses with leading dimensions, so a kernel can multiply a block that it has just written while that is still in
the cache. SciPy's BLAS is set to one thread when this module is first used, because the kernels' own pool
(`parallel.py`) already occupies every core.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from llvmlite import binding as llvm
from numba import types
from numba.extending import overload
from scipy.linalg import cython_blas
from threadpoolctl import ThreadpoolController

from segcaffe.jit.compiled import njit


def _single_thread() -> None:
    """Keep the BLAS that SciPy carries at one thread; where it shares NumPy's, that one."""
    libraries = [c for c in ThreadpoolController().lib_controllers if c.user_api == "blas"]
    own = [c for c in libraries if "scipy.libs" in c.filepath or "scipy/.dylibs" in c.filepath]
    for library in own or libraries:
        library.set_num_threads(1)


_single_thread()


def _export(name: str) -> tuple[str, bool]:
    """Make SciPy's BLAS function known to the compiler by a name of ours; and whether its integers have 64 bits."""
    capsule = cython_blas.__pyx_capi__[name]
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature = get_name(capsule)
    llvm.add_symbol(f"segcaffe_{name}", get_pointer(capsule, signature))
    return f"segcaffe_{name}", b"int64" in signature or b"long" in signature


_SGEMM, _WIDE = _export("sgemm")
_DGEMM, _ = _export("dgemm")
_INT: Any = np.int64 if _WIDE else np.int32
_GEMM_SIGNATURE = types.void(*[types.intp] * 13)
_sgemm = types.ExternalFunction(_SGEMM, _GEMM_SIGNATURE)
_dgemm = types.ExternalFunction(_DGEMM, _GEMM_SIGNATURE)


def gemm(
    trans_a: bool,
    trans_b: bool,
    m: int,
    n: int,
    k: int,
    alpha: float,
    a: Any,
    lda: int,
    b: Any,
    ldb: int,
    beta: float,
    c: Any,
    ldc: int,
) -> None:
    """C = alpha * op(A) op(B) + beta * C for row-major matrices; callable from compiled kernels only.

    ``op(A)`` is (m, k), ``op(B)`` is (k, n), C is (m, n). ``a``, ``b``, ``c`` are arrays (or views) whose first element
    is the matrix's first; ``ld*`` is the distance in elements between rows as they lie in memory.
    """
    raise TypeError("gemm can only be called from a compiled kernel; use the matmul kernel on arrays")


@overload(gemm)
def _gemm(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    function, dtype = (_sgemm, np.float32) if c.dtype == types.float32 else (_dgemm, np.float64)

    def call(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
        # Fortran reads rows as columns: C^T = op(B)^T op(A)^T, so the operands change places. 84 is "T", 78 is "N".
        letters = np.empty(2, np.uint8)
        letters[0] = 84 if trans_b else 78
        letters[1] = 84 if trans_a else 78
        sizes = np.empty(6, _INT)
        sizes[0], sizes[1], sizes[2] = n, m, k
        sizes[3], sizes[4], sizes[5] = ldb, lda, ldc
        factors = np.empty(2, dtype)
        factors[0], factors[1] = alpha, beta
        s, f, t = sizes.ctypes.data, factors.ctypes.data, letters.ctypes.data
        w = sizes.itemsize
        function(
            t,
            t + 1,
            s,
            s + w,
            s + 2 * w,
            f,
            b.ctypes.data,
            s + 3 * w,
            a.ctypes.data,
            s + 4 * w,
            f + factors.itemsize,
            c.ctypes.data,
            s + 5 * w,
        )

    return call


@njit(nogil=True, cache=True)
def gemm_range(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    """`gemm` as a compiled function of its own, for callers that divide a product among threads."""
    gemm(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
