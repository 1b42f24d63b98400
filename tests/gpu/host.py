"""CUDA sources run on the host: `HostModule` stands for CuPy's RawModule, its functions compiled as C++ by g++.

Every launch is made twice, with blocks and threads in ascending and in descending order, on copies of its arrays that
lie between guard zones: a result that depends on the order, or a write beside an array, is an error.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from segcaffe.kernels.cuda.compile import Parameter, parse_signatures
from tests.fake_gpu import tape

_SHIM = Path(__file__).with_name("shim.h")
_CACHE = Path(tempfile.gettempdir()) / f"segcaffe-host-kernels-{os.getuid()}"
_GUARD = 64
"""Elements before and after each array that must stay as they were."""

available = shutil.which("g++") is not None


class HostModule:
    """A source with its compiler options, as CuPy's RawModule takes them."""

    launches: ClassVar[dict[str, int]] = {}
    """How often each function ran, by name."""

    def __init__(self, code: str, options: Sequence[str]) -> None:
        self._signatures = parse_signatures(code)
        own = code.rsplit("#line 1", 1)[-1]
        self._barriers = any(word in own for word in ("__syncthreads", "block_sum", "block_max"))
        self._library = ctypes.CDLL(str(_compile(code, tuple(options))))

    def get_function(self, name: str) -> HostFunction:
        """The function of that name."""
        return HostFunction(name, self._library, self._signatures[name], self._barriers)


class HostFunction:
    """A function of a source, called as CuPy's kernels are: grid, block, arguments."""

    def __init__(self, name: str, library: ctypes.CDLL, parameters: Sequence[Parameter], barriers: bool) -> None:
        self._name, self._parameters, self._barriers = name, parameters, barriers
        self._run = getattr(library, f"host_{name}")
        self._run.restype = ctypes.c_int

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any]) -> None:
        """Run in both orders; the arrays get the result."""
        HostModule.launches[self._name] = HostModule.launches.get(self._name, 0) + 1
        arrays = zip(self._parameters, args, strict=True)
        written = [a._values for p, a in arrays if p.pointer and not p.constant and not isinstance(a, np.generic)]
        tape.launch(lambda: self._run_twice(grid, block, args), written)

    def _run_twice(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any]) -> None:
        first = self._launch(grid, block, args, descending=False)
        second = self._launch(grid, block, args, descending=True)
        for parameter, arg, a, b in zip(self._parameters, args, first, second, strict=True):
            if a is None:
                continue
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), (
                f"{self._name}: {parameter.name} depends on order"
            )
            if not parameter.constant:
                arg._values.reshape(-1)[...] = a

    def _launch(self, grid: Any, block: Any, args: Any, descending: bool) -> list[np.ndarray[Any, Any] | None]:
        guarded: dict[int, _Guarded] = {}
        values: list[Any] = []
        results: list[np.ndarray[Any, Any] | None] = []
        for parameter, arg in zip(self._parameters, args, strict=True):
            if parameter.pointer and not isinstance(arg, np.generic):
                array = arg._values
                copy = guarded.setdefault(array.ctypes.data, _Guarded(array))
                values.append(ctypes.c_void_p(copy.inside.ctypes.data))
                results.append(copy.inside)
            else:
                values.append(_scalar(arg))
                results.append(None)
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(value) for value in values])
        sizes = (ctypes.c_uint * 4)(*[*grid, 1, 1][:3], block[0])
        met = self._run(sizes, int(self._barriers), int(descending), pointers)
        assert met, f"{self._name}: a thread ended while others waited at a barrier"
        for copy in guarded.values():
            copy.check(self._name)
        return results


class _Guarded:
    """A copy of an array between two zones of a known pattern."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._whole = np.empty(array.size + 2 * _GUARD, array.dtype)
        self._whole.view(np.uint8)[...] = 0xFF  # NaN in floats
        self.inside = self._whole[_GUARD : _GUARD + array.size]
        self.inside[...] = array.reshape(-1)

    def check(self, name: str) -> None:
        for zone in (self._whole[:_GUARD], self._whole[-_GUARD:]):
            assert (zone.view(np.uint8) == 0xFF).all(), f"{name}: wrote beside an array"


def _scalar(value: np.generic) -> Any:
    return np.ctypeslib.as_ctypes_type(value.dtype)(value.item())


class HostBlas:
    """The functions of cuBLAS that segcaffe calls, on addresses of host memory; matrices lie by columns."""

    def setMathMode(self, handle: int, mode: int) -> None:
        assert handle == 7
        assert mode in (0, 3)

    def sgemm(self, *arguments: Any) -> None:
        self._gemm(np.float32, *arguments)

    def dgemm(self, *arguments: Any) -> None:
        self._gemm(np.float64, *arguments)

    def sgemmStridedBatched(self, *arguments: Any) -> None:
        self._batched(np.float32, *arguments)

    def dgemmStridedBatched(self, *arguments: Any) -> None:
        self._batched(np.float64, *arguments)

    def _batched(
        self, dtype: Any, handle: int, trans_a: int, trans_b: int, m: int, n: int, k: int, alpha: int, a: int, lda: int,
        stride_a: int, b: int, ldb: int, stride_b: int, beta: int, c: int, ldc: int, stride_c: int, count: int,
    ) -> None:  # fmt: skip
        size = np.dtype(dtype).itemsize
        for i in range(count):
            left, right, out = a + i * stride_a * size, b + i * stride_b * size, c + i * stride_c * size
            self._gemm(dtype, handle, trans_a, trans_b, m, n, k, alpha, left, lda, right, ldb, beta, out, ldc)

    def _gemm(
        self, dtype: Any, handle: int, trans_a: int, trans_b: int, m: int, n: int, k: int, alpha: int, a: int, lda: int,
        b: int, ldb: int, beta: int, c: int, ldc: int,
    ) -> None:  # fmt: skip
        left, right = _matrix(dtype, a, m, k, lda, trans_a), _matrix(dtype, b, k, n, ldb, trans_b)
        out = _matrix(dtype, c, m, n, ldc, 0)
        # The factors lie in the caller's memory, which is his again when the call returns.
        one, other = (_matrix(dtype, at, 1, 1, 1, 0)[0, 0].copy() for at in (alpha, beta))

        def multiply() -> None:
            out[...] = one * (left @ right) + (other * out if other else 0)

        tape.launch(multiply, [out])


def _matrix(dtype: Any, address: int, rows: int, columns: int, pitch: int, transposed: int) -> np.ndarray[Any, Any]:
    """op(X) of size rows x columns, X by columns that begin ``pitch`` elements apart."""
    if transposed:
        return _matrix(dtype, address, columns, rows, pitch, 0).T
    assert pitch >= rows
    size = np.dtype(dtype).itemsize
    memory = (ctypes.c_char * (((columns - 1) * pitch + rows) * size)).from_address(address)
    flat = np.frombuffer(memory, dtype)
    view = np.lib.stride_tricks.as_strided(flat, (rows, columns), (size, pitch * size))
    return view


@functools.cache
def _compile(code: str, options: tuple[str, ...]) -> Path:
    """The shared library of a source, made once for all test runs."""
    wrappers = "\n".join(map(_wrapper, parse_signatures(code).items()))
    text = f'#include "shim.h"\nnamespace cuda {{\n{code}\n#line 1 "wrappers"\n{wrappers}\n}}\n'
    key = hashlib.sha256("\0".join([text, _SHIM.read_text(), *options]).encode()).hexdigest()[:24]
    library = _CACHE / f"{key}.so"
    if not library.exists():
        _CACHE.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
            source, made = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
            source.write_text(text)
            command = [
                "g++",
                "-O1",
                "-shared",
                "-fPIC",
                "-w",
                # Each library has its own shared memory, also that of functions which have the same name in others.
                "-fvisibility=hidden",
                "-fno-gnu-unique",
                f"-I{_SHIM.parent}",
                *options,
                str(source),
                "-o",
                str(made),
            ]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            assert result.returncode == 0, result.stderr[:4000]
            made.replace(library)
    return library


def _wrapper(item: tuple[str, Sequence[Parameter]]) -> str:
    """A C function that takes the grid and pointers to the arguments."""
    name, parameters = item
    types = [f"{p.type}{'*' if p.pointer else ''}" for p in parameters]
    arguments = ", ".join(f"*({kind}*)a[{i}]" for i, kind in enumerate(types))
    return (
        'extern "C" __attribute__((visibility("default"))) '
        f"int host_{name}(unsigned* s, int barriers, int descending, void** a) {{\n"
        f"    return run_grid({{s[0], s[1], s[2]}}, s[3], barriers, descending, [=] {{ {name}({arguments}); }});\n}}"
    )
