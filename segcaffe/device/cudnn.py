"""Convolutions by cuDNN, through NVIDIA's Python front end; False where it cannot serve, for the caller's own way.

A plan is chosen once for each shape and kept. Plans whose results vary from run to run are never taken; those that
round float32 to fewer bits only with ``device.configure(math="tf32")``.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from segcaffe.device import mode
from segcaffe.device.mode import Array
from segcaffe.device.settings import Math, settings

Kind = Literal["forward", "data", "weight"]
Triple = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
Run = Callable[[int, int, int], None]
_TRIES = 4
_MOST_SCRATCH = 1 << 30
"""Plans that need more bytes of scratch memory are not taken."""


@functools.cache
def version() -> str | None:
    """The library's version, as ``9.12.0``; None where the front end is not installed, or finds no library."""
    if importlib.util.find_spec("cudnn") is None:
        return None
    try:
        number = int(importlib.import_module("cudnn").backend_version())
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        warnings.warn(f"cuDNN's front end is installed, but cannot use the library: {error}", stacklevel=2)
        return None
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def available() -> bool:
    """Whether the front end is installed and has found the library."""
    return version() is not None


def scratch_like(array: Array) -> Array | None:
    """Room for a result that the caller adds to ``array``; None where cuDNN could not make it anyway."""
    return mode.xp().empty_like(array) if _serves(array) else None


def convolve(kind: Kind, x: Array, weight: Array, y: Array, out: Array, sizes: Triple) -> bool:
    """Overwrite ``out``, one of x, weight and y, computed from the other two; or return False.

    Parameters
    ----------
    kind:
        "forward": y from x and weight; "data": the gradient x from weight and y; "weight": the gradient weight from x
        and y. Groups follow from the shapes.
    sizes:
        Stride, pad and dilation.
    """
    if not _serves(out):
        return False
    how = settings()
    shapes = x.shape, weight.shape, y.shape
    plan = _plan(kind, shapes, sizes, how.math, how.autotune, mode.current_device())
    if plan is None:
        return False
    plan.execute(x, weight, y)
    return True


def _serves(array: Array) -> bool:
    return bool(array.dtype == np.float32) and available()


@dataclass(frozen=True)
class _Plan:
    graph: Any
    tensors: tuple[Any, Any, Any]
    handle: Any
    workspace: int

    def execute(self, x: Array, weight: Array, y: Array) -> None:
        """Run on CuPy's current stream, in scratch memory from its pool."""
        frontend = importlib.import_module("cudnn")
        gpu = mode.xp()
        frontend.set_stream(handle=self.handle, stream=gpu.cuda.get_current_stream().ptr)
        scratch = gpu.empty(max(self.workspace, 1), np.uint8)
        pointers = {tensor: array.data.ptr for tensor, array in zip(self.tensors, (x, weight, y), strict=True)}
        self.graph.execute(pointers, scratch.data.ptr, handle=self.handle)


@functools.cache
def _handle(device_id: int) -> Any:
    """One handle for each device."""
    return importlib.import_module("cudnn").create_handle()


@functools.cache
def _plan(kind: Kind, given: Triple, sizes: Triple, math: Math, autotune: bool, device_id: int) -> _Plan | None:
    """The plan for shapes of x, weight and y, stride, pad and dilation; None if none keeps to the rules."""
    frontend = importlib.import_module("cudnn")
    handle = _handle(device_id)
    float32 = frontend.data_type.FLOAT
    graph = frontend.pygraph(
        io_data_type=float32, intermediate_data_type=float32, compute_data_type=float32, handle=handle
    )
    shapes, (stride, pad, dilation) = [_four_axes(shape) for shape in given], sizes
    options = {
        "padding": _two_axes(pad, 0), "stride": _two_axes(stride, 1), "dilation": _two_axes(dilation, 1),
        "compute_data_type": float32,
    }  # fmt: skip
    tensors = _describe(graph, kind, shapes, options, float32)
    try:
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([frontend.heur_mode.A, frontend.heur_mode.FALLBACK])
        graph.deselect_numeric_notes(_barred(frontend, math))
        graph.deselect_workspace_greater_than(_MOST_SCRATCH)
        graph.check_support()
        graph.build_plans(frontend.build_plan_policy.HEURISTICS_CHOICE)
    except frontend.cudnnGraphNotSupportedError:
        return None
    except RuntimeError as error:
        message = (
            f"cuDNN failed to plan the convolution of {given[0]} with {given[1]}, which goes through cuBLAS: {error}"
        )
        warnings.warn(message, stacklevel=2)
        return None
    if autotune:
        _choose_fastest(frontend, graph, tensors, given, handle)
    return _Plan(graph, tensors, handle, int(graph.get_workspace_size()))


def _choose_fastest(
    frontend: Any, graph: Any, tensors: Sequence[Any], shapes: Sequence[tuple[int, ...]], handle: Any
) -> None:
    """Time each plan that may be used, the best of a few runs on zeros, and build the fastest."""
    gpu = mode.xp()
    arrays = [gpu.zeros(shape, np.float32) for shape in shapes]
    pointers = {tensor: array.data.ptr for tensor, array in zip(tensors, arrays, strict=True)}
    frontend.set_stream(handle=handle, stream=gpu.cuda.get_current_stream().ptr)
    times: dict[int, float] = {}
    for index in range(graph.get_execution_plan_count()):
        try:
            graph.build_plan_at_index(index)
            scratch = gpu.empty(max(int(graph.get_workspace_size_plan_at_index(index)), 1), np.uint8)
            times[index] = min(_time(graph, pointers, scratch, index, handle) for _ in range(_TRIES))
        except (frontend.cudnnGraphNotSupportedError, ValueError, RuntimeError, MemoryError):
            # Barred, not for this device, or too large for what is free.
            continue
    if times:
        graph.build_plan_at_index(min(times, key=times.__getitem__))


def _time(graph: Any, pointers: dict[Any, int], scratch: Array, index: int, handle: Any) -> float:
    gpu = mode.xp()
    start, stop = gpu.cuda.Event(), gpu.cuda.Event()
    start.record(gpu.cuda.get_current_stream())
    graph.execute_plan_at_index(pointers, scratch.data.ptr, index, handle=handle)
    stop.record(gpu.cuda.get_current_stream())
    stop.synchronize()
    return float(gpu.cuda.get_elapsed_time(start, stop))


def _describe(
    graph: Any, kind: Kind, shapes: Sequence[Sequence[int]], options: dict[str, Any], dtype: Any
) -> tuple[Any, Any, Any]:
    """Put the convolution into the graph; the tensors of x, weight and y."""
    made = {"forward": 2, "data": 0, "weight": 1}[kind]
    given = [
        None if i == made else graph.tensor(name=name, dim=list(shape), stride=_strides(shape), data_type=dtype)
        for i, (name, shape) in enumerate(zip(("x", "weight", "y"), shapes, strict=True))
    ]
    x, weight, y = given
    if kind == "forward":
        result = graph.conv_fprop(image=x, weight=weight, **options)
    elif kind == "data":
        result = graph.conv_dgrad(loss=y, filter=weight, **options)
    else:
        result = graph.conv_wgrad(image=x, loss=y, **options)
    result.set_output(True).set_data_type(dtype).set_dim(list(shapes[made])).set_stride(_strides(shapes[made]))
    given[made] = result
    return given[0], given[1], given[2]


def _barred(frontend: Any, math: Math) -> list[Any]:
    notes = frontend.numerical_note
    reduced = [notes.TENSOR_CORE, notes.DOWN_CONVERT_INPUTS, notes.REDUCED_PRECISION_REDUCTION]
    return [notes.NONDETERMINISTIC, *(reduced if math == "fp32" else [])]


def _four_axes(shape: Sequence[int]) -> list[int]:
    """A one-dimensional convolution as one over images of one row."""
    return [*shape[:2], 1, shape[2]] if len(shape) == 3 else list(shape)


def _two_axes(values: Sequence[int], fill: int) -> list[int]:
    return [fill, *values] if len(values) == 1 else list(values)


def _strides(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]
