"""What segcaffe uses of CuPy, cuBLAS and cuDNN's front end, held against the packages as installed; needs no device.

The names and keywords are collected from segcaffe's sources, so that a new one is checked without anybody's doing.
"""

from __future__ import annotations

import ast
import ctypes
import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import segcaffe
from segcaffe.device import cublas_library, cudnn
from segcaffe.kernels.cuda import compile

SOURCES = Path(segcaffe.__file__).parent
ROOTS = {"gpu", "_gpu", "_last_gpu", "cupy", "xp"}
"""Names that stand for CuPy where they are used with its attributes."""
METHODS = {
    "cuda.Stream": ("begin_capture", "end_capture", "synchronize", "wait_event"),
    "cuda.Event": ("record", "synchronize"),
    "cuda.Graph": ("launch",),
    "cuda.Device": ("use", "compute_capability"),
    "cuda.MemoryPool": ("malloc", "used_bytes", "total_bytes", "free_all_blocks"),
    "cuda.MemoryPointer": ("ptr",),
    "RawModule": ("get_function",),
    "ndarray": ("set", "view", "data", "flags", "dtype", "strides", "itemsize", "nbytes", "sum", "fill", "min", "max"),
}
"""Of objects that the sources get from calls, where they cannot be followed."""
GRAPH = {
    "tensor": ("name", "dim", "stride", "data_type"),
    "conv_fprop": ("image", "weight", "padding", "stride", "dilation", "compute_data_type"),
    "conv_dgrad": ("loss", "filter", "padding", "stride", "dilation", "compute_data_type"),
    "conv_wgrad": ("image", "loss", "padding", "stride", "dilation", "compute_data_type"),
}


@dataclass(frozen=True)
class Use:
    """A chain of attributes of CuPy, as ``cuda.runtime.memGetInfo``, and the keywords it is called with."""

    chain: str
    keywords: tuple[str, ...]
    where: str


def uses() -> Iterator[Use]:
    """Every use of CuPy in the sources of what runs on a device."""
    for path in sorted(SOURCES.rglob("*.py")):
        if path.name in ("cpu.py", "loops.py", "tiles.py") or path.parts[-2] == "winograd":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for node in ast.walk(tree):
            chain = _chain(node) if isinstance(node, ast.Attribute) and id(node) not in inner else None
            if chain and not chain.startswith("_"):
                call = called.get(id(node))
                names = tuple(k.arg for k in call.keywords if k.arg) if call else ()
                yield Use(chain, names, f"{path.relative_to(SOURCES)}:{node.lineno}")


def _chain(node: ast.expr) -> str | None:
    """The attributes after a name that stands for CuPy; None for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        if node.attr == "xp" and parts:
            return ".".join(reversed(parts))
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Call):
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        return ".".join(reversed(parts)) if name == "xp" else None
    known = isinstance(node, ast.Name) and node.id in ROOTS
    return ".".join(reversed(parts)) if known else None


@pytest.fixture(scope="module")
def cupy() -> ModuleType:
    module: ModuleType = pytest.importorskip("cupy", reason="CuPy is not installed")
    return module


@pytest.fixture(scope="module")
def front_end() -> ModuleType:
    module: ModuleType = pytest.importorskip("cudnn", reason="cuDNN's front end is not installed")
    return module


def _resolve(root: Any, chain: str) -> Any:
    return functools.reduce(getattr, chain.split("."), root)


def _parameters(function: Any) -> set[str] | None:
    """Names of a function's parameters, by its signature or the first line of its help; None if any will do."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        target = function.__init__ if inspect.isclass(function) else function
        lines = [*(getattr(target, "__doc__", "") or "").splitlines(), *(function.__doc__ or "").splitlines()]
        listed = next((line for line in lines if re.match(r"\s*[\w.]+\(.*\)", line)), None)
        if listed is None or "**" in listed or "*args" in listed:
            return None
        return set(re.findall(r"(\w+)\s*(?:=|,|\))", listed))
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


def test_the_sources_use_cupy() -> None:
    """The collection finds what is known to be there."""
    chains = {use.chain for use in uses()}
    expected = {"RawModule", "cuda.Stream", "cuda.runtime.memGetInfo", "random.default_rng", "empty", "cuda.cublas"}
    assert expected <= {chain.removesuffix(".__file__") for chain in chains}
    assert any(use.chain == "unique" and use.keywords == ("return_inverse",) for use in uses())


def test_cupy_has_every_name_and_keyword(cupy: ModuleType) -> None:
    missing = []
    for use in uses():
        try:
            found = _resolve(cupy, use.chain)
        except AttributeError as error:
            missing.append(f"{use.where}: {use.chain}: {error}")
            continue
        known = _parameters(found) if use.keywords else None
        if known is not None and not set(use.keywords) <= known:
            missing.append(f"{use.where}: {use.chain} takes {sorted(known)}, not {use.keywords}")
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("name", METHODS)
def test_cupys_objects_have_every_attribute(name: str, cupy: ModuleType) -> None:
    missing = [attribute for attribute in METHODS[name] if not hasattr(_resolve(cupy, name), attribute)]
    assert not missing


def test_exceptions_are_of_the_kinds_that_are_caught(cupy: ModuleType) -> None:
    assert issubclass(cupy.cuda.runtime.CUDARuntimeError, RuntimeError)
    assert issubclass(cupy.cuda.driver.CUDADriverError, RuntimeError)
    error = cupy.cuda.memory.OutOfMemoryError(3 << 30, 5 << 30, 0)
    assert isinstance(error, MemoryError)
    assert re.search(r"allocating ([\d,]+) bytes", str(error)) is not None


def test_cublas_has_every_function(cupy: ModuleType) -> None:
    library = cublas_library.Library(ctypes.CDLL(cupy.cuda.cublas.__file__))
    assert callable(library.sgemm)


@pytest.mark.parametrize("name", compile.names())
def test_cupy_compiles_every_source(name: str, cupy: ModuleType) -> None:
    """By CuPy's own program, with what CuPy adds to our options."""
    compiler = pytest.importorskip("cupy.cuda.compiler")
    program = compiler._NVRTCProgram(compile.source(name), f"{name}.cu", method="cubin")
    added = ("-ftz=true", "--device-as-default-execution-space", "-arch=sm_90")
    made, _ = program.compile((*compile.options(np.float32), *added))
    assert len(made) > 1000


def test_the_front_end_has_every_name(front_end: ModuleType) -> None:
    for name in ("set_stream", "create_handle", "backend_version", "cudnnGraphNotSupportedError"):
        assert hasattr(front_end, name)
    assert {"handle", "stream"} <= (_parameters(front_end.set_stream) or {"handle", "stream"})
    assert front_end.data_type.FLOAT is not None
    assert front_end.heur_mode.A != front_end.heur_mode.FALLBACK
    assert front_end.build_plan_policy.HEURISTICS_CHOICE is not None
    exact, rounded = cudnn._barred(front_end, "fp32"), cudnn._barred(front_end, "tf32")
    assert rounded == [front_end.numerical_note.NONDETERMINISTIC]
    assert len(set(exact)) == 4


def test_the_front_ends_graphs_have_every_method(front_end: ModuleType) -> None:
    tree = ast.parse(Path(cudnn.__file__).read_text(encoding="utf-8"))
    methods = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "graph"
    }
    assert {"check_support", "conv_wgrad", "execute_plan_at_index"} <= methods
    assert not [name for name in methods if not hasattr(front_end.pygraph, name)]
    executes = _parameters(front_end.pygraph.execute)
    assert executes is None or "handle" in executes
    for name, wanted in GRAPH.items():
        known = _parameters(getattr(front_end.pygraph, name))
        assert known is None or set(wanted) <= known, name


@pytest.mark.parametrize("kind", ["forward", "data", "weight"])
def test_the_front_end_takes_our_convolutions(kind: Any, front_end: ModuleType) -> None:
    """Its graph is described as it will be; what needs a device comes later."""
    float32 = front_end.data_type.FLOAT
    try:
        graph = front_end.pygraph(
            io_data_type=float32, intermediate_data_type=float32, compute_data_type=float32, handle=None
        )
    except RuntimeError as error:
        pytest.skip(f"this front end makes graphs on a device only: {error}")
    options = {"padding": [1, 1], "stride": [2, 1], "dilation": [1, 1], "compute_data_type": float32}
    shapes = [(2, 4, 7, 8), (6, 2, 3, 3), (2, 6, 4, 8)]
    tensors = cudnn._describe(graph, kind, shapes, options, float32)
    assert [tuple(tensor.get_dim()) for tensor in tensors] == shapes
    assert len(dict.fromkeys(tensors)) == 3
