"""CuPy itself, in front of a CUDA runtime made of the host's memory: ``pytest -p tests.gpu.host_runtime -m gpu``.

CuPy compiles each kernel as on a device, by NVRTC with its own options; what runs is the same source compiled by g++
(`shim.h`). So its arrays, launches, memory pools, streams, events and graphs are the real ones, and what a device would
compute is computed; only sorts and `unique`, which CuPy has ready for a device only, go through NumPy. Without cuDNN.
Needs CuPy as pip installs it, on Linux and x86-64, and no device. It changes CuPy for the whole process.
"""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
CACHE = Path(tempfile.gettempdir()) / f"segcaffe-host-runtime-{os.getuid()}"
EXPORTS = "{ global: host_*; cu*; local: *; };"
# CuPy's headers say these for the host; of complex and half numbers only the names are needed.
HEADERS = "bfloat16|float16|complex|structview|unstructured_void|atomics|cuda_workaround"
LEFT_OUT = rf'^\s*#include [<"]cupy/(?:{HEADERS})\.cuh[>"]'
FOR_CUPY = """
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <type_traits>
#undef __device__
#define __device__
#define __host__
#define __global__
#define __noinline__
#define __syncwarp __syncthreads
using std::copysign; using std::cos; using std::isfinite; using std::isinf; using std::isnan; using std::log2;
using std::round; using std::signbit; using std::sin; using std::trunc;
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
template <class T> struct complex { T re, im; };
struct float16 { unsigned short bits; };
struct bfloat16 { unsigned short bits; };
"""


def build(text: str, suffix: str, options: Sequence[str]) -> Path:
    """The shared library of a C++ source, made once."""
    CACHE.mkdir(mode=0o700, exist_ok=True)
    key = hashlib.sha256("\0".join([text, *options]).encode()).hexdigest()[:24]
    library = CACHE / f"{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            source, made = Path(folder) / f"source{suffix}", Path(folder) / "made.so"
            source.write_text(text, encoding="utf-8")
            command = ["g++", "-shared", "-fPIC", "-w", "-fpermissive", *options, str(source), "-o", str(made), "-ldl"]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            assert result.returncode == 0, result.stderr[:4000]
            made.replace(library)
    return library


def load_runtime() -> ctypes.CDLL:
    """The runtime, known to whoever asks for the driver or cuBLAS by name."""
    CACHE.mkdir(mode=0o700, exist_ok=True)
    exports = CACHE / "exports.map"
    exports.write_text(EXPORTS, encoding="ascii")
    options = ["-O3", "-march=native", "-static-libstdc++", "-static-libgcc", "-Wl,-soname,libcuda.so.1"]
    path = build((HERE / "runtime.cpp").read_text("utf-8"), ".cpp", [*options, f"-Wl,--version-script={exports}"])
    return ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)


def replace_functions(path: str, runtime: ctypes.CDLL) -> None:
    """Let the functions of CUDA's runtime that are linked into a library of CuPy's jump to ours."""
    maps = [line.split() for line in Path("/proc/self/maps").read_text(encoding="ascii").splitlines()]
    base = next(int(m[0].split("-")[0], 16) for m in maps if m[2] == "00000000" and m[-1] == os.path.realpath(path))
    symbols = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    missing = ctypes.cast(runtime.host_missing, ctypes.c_void_p)
    for offset, name in re.findall(r"^([0-9a-f]+) [tT] cuda([A-Z]\w*)$", symbols, re.MULTILINE):
        ours = getattr(runtime, f"host_{re.sub('_pt[ds][sz]$', '', name)}", None)
        at = ctypes.c_void_p(base + int(offset, 16))
        if ours is None:
            _NAMES.append(ctypes.create_string_buffer(f"cuda{name}".encode()))
            runtime.host_replace(at, missing, ctypes.cast(_NAMES[-1], ctypes.c_void_p))
        else:
            runtime.host_replace(at, ctypes.cast(ours, ctypes.c_void_p), None)


_NAMES: list[Any] = []
"""What the code that was written points to."""


def kernels(source: str) -> dict[str, list[str]]:
    """The types of the parameters of each kernel of a source."""
    found = {}
    text = re.sub(r"//[^\n]*", "", source)
    for match in re.finditer(r"^\s*(?:extern \"C\" __global__ void|KERNEL)\s+(\w+)\s*\(", text, re.MULTILINE):
        depth, start, types = 1, match.end(), []
        for at in range(match.end(), len(text)):
            depth += {"(": 1, "<": 1, "[": 1, ")": -1, ">": -1, "]": -1}.get(text[at], 0)
            if depth == 0 or (depth == 1 and text[at] == ","):
                declared = re.sub(r"\b(?:const|__restrict__|__grid_constant__)\b", "", text[start:at])
                types.append(re.sub(r"\w+\s*$", "", declared).strip())
                start = at + 1
            if depth == 0:
                break
        found[match[1]] = types
    return found


def for_the_host(source: str) -> str:
    """A source of kernels as C++, with a function for each that takes the grid and pointers to the arguments."""
    ours = "EACH_OF_BLOCK" in source
    barriers = int(any(word in source for word in ("__sync", "block_sum", "block_max", "warp_")))
    wrappers = []
    for name, types in kernels(source).items():
        arguments = ", ".join(f"*(std::remove_cv_t<{kind}>*)a[{i}]" for i, kind in enumerate(types))
        sizes = ", ".join([*(f"sizeof({kind})" for kind in types), "0"])
        wrappers.append(
            f'extern "C" {{ unsigned sizes_{name}[] = {{{sizes}}};\nint host_{name}(unsigned* s, void** a) {{ return '
            f"run_grid({{s[0], s[1], s[2]}}, s[3], {barriers}, 0, [=] {{ {name}({arguments}); }}); }} }}\n"
        )
    made = "".join(wrappers)
    if ours:
        return f'#include "shim.h"\n#include <type_traits>\nnamespace cuda {{\n{source}\n{made}}}\n'
    return f'#include "shim.h"\n{FOR_CUPY}\n{re.sub(LEFT_OUT, "", source, flags=re.MULTILINE)}\n{made}'


def compile_both(
    compile_for_device: Any, include: Path, source: str, options: Sequence[str], *rest: Any, **named: Any
) -> tuple[bytes, Any]:
    """Compile a source as CuPy does, and give the library for the host in place of what that made."""
    compile_for_device(source, options, *rest, **named)
    chosen = [option for option in options if option.startswith(("-D", "-I"))]
    shim = hashlib.sha256((HERE / "shim.h").read_bytes()).hexdigest()
    text = f"// {shim}\n{for_the_host(source)}"
    flags = ["-O1", "-std=c++17", "-D__CUDACC_VER_MAJOR__=13", f"-I{HERE}", f"-I{include}"]
    return str(build(text, ".cpp", [*flags, *chosen])).encode() + b"\0", None


class NothingKept:
    """A cache of CuPy's that keeps nothing, so that everything is compiled."""

    def load(self, name: str) -> None:
        """Nothing is there."""

    def save(self, name: str, payload: bytes, source: str) -> None:
        """Nothing stays."""


def install() -> None:
    """Change CuPy."""
    os.environ["CUPY_ACCELERATORS"] = ""
    runtime = load_runtime()
    from cupy_backends.cuda.api import runtime as linked

    replace_functions(linked.__file__, runtime)
    import cupy
    from cupy.cuda import compiler, thrust

    replace_functions(thrust.__file__, runtime)
    device_compiler, include = compiler._compile_using_nvrtc_no_warning, Path(cupy.__file__).parent / "_core/include"
    compiler._compile_using_nvrtc_no_warning = lambda *given, **named: compile_both(
        device_compiler, include, *given, **named
    )
    compiler._set_kernel_cache_backend(NothingKept())
    thrust.sort, thrust.argsort = _sort, _argsort
    cupy.unique = _through_numpy(cupy, cupy.unique)

    from segcaffe.device import cublas_library, cudnn

    library = cublas_library.Library(runtime)
    cublas_library.library = lambda: library  # type: ignore[assignment]
    cudnn.version = lambda: None  # type: ignore[assignment]


def _memory(address: int, shape: Sequence[int], dtype: Any) -> np.ndarray[Any, Any]:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)


def _sort(dtype: Any, data: int, keys: int, shape: Sequence[int]) -> None:
    values = _memory(data, shape, dtype)
    values[...] = np.sort(values, kind="stable")


def _argsort(dtype: Any, index: int, data: int, keys: int, shape: Sequence[int]) -> None:
    values = _memory(data, shape, dtype)
    order = np.argsort(values, kind="stable")
    _memory(index, shape, np.intp)[...] = order
    values[...] = np.take_along_axis(values, order, -1)


def _through_numpy(cupy: Any, function: Any) -> Any:
    signature = inspect.signature(function)

    def call(values: Any, **options: Any) -> Any:
        signature.bind(values, **options)
        result = getattr(np, function.__name__)(cupy.asnumpy(values), **options)
        return tuple(map(cupy.asarray, result)) if isinstance(result, tuple) else cupy.asarray(result)

    return call


install()
