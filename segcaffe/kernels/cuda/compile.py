"""CUDA sources: found beside their kernels, compiled when first needed, launched with arguments that are checked.

A kernel's source is ``kernels/<name>/<name>.cu`` after ``prelude.cuh``, one text for every dtype: the macros
REAL and INDEX are set by the compiler's options. CuPy compiles with NVRTC for the device at hand and keeps the result
on disk. The types of a function's parameters are read in the source, so that a call with one argument too few, or an
array of another dtype, is a TypeError here and not a crash there.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from segcaffe.device import mode

BLOCK = 256
"""Threads of a block, of every kernel."""
MAX_GRID = 1 << 16
"""Most blocks of a grid over elements: enough to fill any device; the kernels loop over the rest."""
_TOOLS = Path(__file__).resolve().parent
_KERNELS = _TOOLS.parent
_DECLARATION = re.compile(r"^KERNEL\s+(\w+)\(([^)]*)\)", re.MULTILINE)
_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"$', re.MULTILINE)
_SCALARS: dict[str, Any] = {
    "int": np.int32,
    "unsigned": np.uint32,
    "unsigned char": np.uint8,
    "long long": np.int64,
    "double": np.float64,
    "float": np.float32,
}
_LIMIT = 2**31 - MAX_GRID * BLOCK
"""From this number of elements on, indices have 64 bits: a loop's index may step over the end by a whole grid."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a CUDA function: ``type`` without const and asterisk; whether what it points to is const."""

    type: str
    pointer: bool
    constant: bool
    name: str


def names() -> list[str]:
    """All kernels that have a CUDA source, sorted."""
    return sorted(path.stem for path in _KERNELS.glob("*/*.cu"))


@functools.cache
def source(name: str) -> str:
    """Source of a kernel, as the compiler gets it: the prelude, then the kernel's own file."""
    own = (_KERNELS / name / f"{name}.cu").read_text(encoding="utf-8")
    # NVRTC has no files: what several sources share is put in place here.
    own = _INCLUDE.sub(lambda found: (_TOOLS / found[1]).read_text(encoding="utf-8"), own)
    prelude = (_TOOLS / "prelude.cuh").read_text(encoding="utf-8")
    return f'#line 1 "prelude.cuh"\n{prelude}\n#line 1 "{name}.cu"\n{own}'


@functools.cache
def signatures(name: str) -> dict[str, tuple[Parameter, ...]]:
    """Parameters of each function that a kernel's source defines."""
    return parse_signatures(source(name))


def parse_signatures(text: str) -> dict[str, tuple[Parameter, ...]]:
    """Parameters of each function that a source declares with the word KERNEL."""
    return {
        function: tuple(_parameter(parameter) for parameter in parameters.split(","))
        for function, parameters in _DECLARATION.findall(text)
    }


def options(dtype: Any, wide: bool = False) -> tuple[str, ...]:
    """Compiler options for arrays of ``dtype`` (float32 or float64), with 64-bit indices if ``wide``."""
    double = np.dtype(dtype) == np.float64
    real = ("-DREAL=double", "-DREAL_DOUBLE=1") if double else ("-DREAL=float",)
    return ("-std=c++17", *real, f"-DINDEX={'long long' if wide else 'int'}", f"-DBLOCK={BLOCK}")


def launch(name: str, function: str, threads: int, *arguments: Any) -> None:
    """Run a function over ``threads`` elements, in as many blocks as they fill; nothing to do for none."""
    launch_blocks(name, function, min(-(-threads // BLOCK), MAX_GRID), *arguments)


def launch_blocks(name: str, function: str, grid: int | tuple[int, ...], *arguments: Any) -> None:
    """Run a function in a grid of blocks (one number, or one for each of up to three axes) on the current stream.

    Raises
    ------
    TypeError
        The arguments do not fit the function's parameters.
    """
    shape = (grid,) if isinstance(grid, int) else grid
    if 0 in shape:
        return
    parameters = signatures(name)[function]
    if len(arguments) != len(parameters):
        raise TypeError(f"{name}.{function} takes {len(parameters)} arguments. Received: {len(arguments)}.")
    dtype = _real_dtype(parameters, arguments)
    wide = any(_extent(argument) >= _LIMIT for argument in arguments)
    real = {**_SCALARS, "REAL": dtype.type, "INDEX": np.int64 if wide else np.int32}
    values = [_argument(name, function, p, real[p.type], a) for p, a in zip(parameters, arguments, strict=True)]
    _function(mode.xp(), mode.current_device(), name, function, dtype.name, wide)(shape, (BLOCK,), tuple(values))


@functools.cache
def _function(
    gpu: ModuleType, device_id: int, name: str, function: str, dtype: str, wide: bool
) -> Callable[[Sequence[int], Sequence[int], Sequence[Any]], None]:
    """The compiled function for the device in use, which the key names."""
    compiled: Callable[[Sequence[int], Sequence[int], Sequence[Any]], None]
    compiled = _module(gpu, device_id, name, dtype, wide).get_function(function)
    return compiled


@functools.cache
def _module(gpu: ModuleType, device_id: int, name: str, dtype: str, wide: bool) -> Any:
    return gpu.RawModule(code=source(name), options=options(dtype, wide))


def _parameter(text: str) -> Parameter:
    *declared, name = text.replace("*", " * ").split()
    words = [word for word in declared if word not in ("const", "*", "__restrict__")]
    return Parameter(" ".join(words), "*" in declared, "const" in declared, name)


def _real_dtype(parameters: Sequence[Parameter], arguments: Sequence[Any]) -> np.dtype[Any]:
    """The dtype of the arrays that are REAL; float32 where there is none."""
    for parameter, argument in zip(parameters, arguments, strict=True):
        if parameter.pointer and parameter.type == "REAL" and argument is not None:
            return np.dtype("float64" if argument.dtype == np.float64 else "float32")
    return np.dtype("float32")


def _extent(argument: Any) -> int:
    if isinstance(argument, int):
        return argument
    return int(getattr(argument, "size", 0))


def _argument(name: str, function: str, parameter: Parameter, scalar: Any, value: Any) -> Any:
    if not parameter.pointer:
        return scalar(value)
    if value is None:
        # A pointer that the kernel compares with 0 before it follows it.
        return np.uint64(0)
    if value.dtype != scalar or not value.flags.c_contiguous:
        layout = "" if value.flags.c_contiguous else ", not contiguous"
        wanted = np.dtype(scalar).name
        raise TypeError(
            f"{name}.{function}: {parameter.name} must be contiguous, of dtype {wanted}. "
            f"Received: {value.dtype}, shape {value.shape}{layout}."
        )
    return value
