"""Matrix products from inside compiled kernels.

`gemm` is callable from Numba functions (and only from there): it goes straight to the BLAS that SciPy ships, on raw
addresses with leading dimensions, so a kernel can multiply a block that it has just written while that is still in
the cache. SciPy's BLAS is set to one thread when this module is first used, because the kernels' own pool
(`parallel.py`) already occupies every core.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from llvmlite import binding as llvm
from numba import types
from numba.extending import overload
from threadpoolctl import ThreadpoolController


def _single_thread() -> None:
    """Keep the BLAS that SciPy carries at one thread; where it shares NumPy's, that one."""
    libraries = [c for c in ThreadpoolController().lib_controllers if c.user_api == "blas"]
    own = [c for c in libraries if "scipy.libs" in c.filepath or "scipy/.dylibs" in c.filepath]
    for library in own or libraries:
        library.set_num_threads(1)


@functools.cache
def _cython_blas() -> Any:
    """``scipy.linalg.cython_blas`` without the rest of ``scipy.linalg``: a quarter of the memory and of the time."""
    name = "scipy.linalg.cython_blas"
    if name not in sys.modules:
        found = PathFinder.find_spec("cython_blas", [str(Path(scipy.__file__).parent / "linalg")])
        if found is None or found.origin is None:
            return importlib.import_module(name)
        loader = ExtensionFileLoader(name, found.origin)
        module = sys.modules[name] = module_from_spec(ModuleSpec(name, loader, origin=found.origin))
        loader.exec_module(module)
    return sys.modules[name]


_cython_blas()
_single_thread()


def _export(name: str) -> tuple[str, bool]:
    """Make SciPy's BLAS function known to the compiler by a name of ours; and whether its integers have 64 bits."""
    capsule = _cython_blas().__pyx_capi__[name]
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
    trans: tuple[bool, bool],
    sizes: tuple[int, int, int],
    factors: tuple[float, float],
    a: Any,
    lda: int,
    b: Any,
    ldb: int,
    c: Any,
    ldc: int,
) -> None:
    """C = alpha * op(A) op(B) + beta * C for row-major matrices; callable from compiled kernels only.

    ``trans`` says whether A and B are transposed, ``sizes`` are (m, n, k), ``factors`` alpha and beta.
    ``op(A)`` is (m, k), ``op(B)`` is (k, n), C is (m, n). ``a``, ``b``, ``c`` are arrays (or views) whose first element
    is the matrix's first; ``ld*`` is the distance in elements between rows as they lie in memory.
    """
    raise TypeError("gemm can only be called from a compiled kernel; use the matmul kernel on arrays")


@overload(gemm)
def _gemm(trans, sizes, factors, a, lda, b, ldb, c, ldc):
    function, dtype = (_sgemm, np.float32) if c.dtype == types.float32 else (_dgemm, np.float64)

    def call(trans, sizes, factors, a, lda, b, ldb, c, ldc):
        # Fortran reads rows as columns: C^T = op(B)^T op(A)^T, so the operands change places. 84 is "T", 78 is "N".
        letters = np.empty(2, np.uint8)
        letters[0] = 84 if trans[1] else 78
        letters[1] = 84 if trans[0] else 78
        integers = np.empty(6, _INT)
        integers[0], integers[1], integers[2] = sizes[1], sizes[0], sizes[2]
        integers[3], integers[4], integers[5] = ldb, lda, ldc
        floats = np.empty(2, dtype)
        floats[0], floats[1] = factors
        s, f, t = integers.ctypes.data, floats.ctypes.data, letters.ctypes.data
        w = integers.itemsize
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
            f + floats.itemsize,
            c.ctypes.data,
            s + 5 * w,
        )

    return call
