"""Convolutions through cuDNN's front end: what it is told. The front end is one that computes on the host."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segcaffe import device
from segcaffe.device import cudnn
from segcaffe.kernels import convolution
from segcaffe.window import Window
from tests import fake_gpu

pytestmark = pytest.mark.usefixtures("host_device")


class NotSupportedError(Exception):
    """What the front end raises where it has no plan."""


class Tensor:
    """A tensor of a graph."""

    def __init__(self, dim: list[int], stride: list[int]) -> None:
        self.dim, self.stride = dim, stride

    def set_output(self, _: bool) -> Tensor:
        return self

    def set_data_type(self, _: object) -> Tensor:
        return self

    def set_dim(self, dim: list[int]) -> Tensor:
        self.dim = dim
        return self

    def set_stride(self, stride: list[int]) -> Tensor:
        self.stride = stride
        return self


class Graph:
    """One convolution, computed by the CPU's kernels."""

    made = 0
    barred: list[str] = []  # noqa: RUF012 (the last graph's, for the tests)

    def __init__(self, **options: Any) -> None:
        assert {"io_data_type", "intermediate_data_type", "compute_data_type", "handle"} == set(options)
        Graph.made += 1
        self.built = -1

    def tensor(self, name: str, dim: list[int], stride: list[int], data_type: str) -> Tensor:
        assert stride == [math.prod(dim[i + 1 :]) for i in range(len(dim))]
        return Tensor(dim, stride)

    def conv_fprop(self, image: Tensor, weight: Tensor, **options: Any) -> Tensor:
        return self._operation("forward", image, weight, None, options)

    def conv_dgrad(self, loss: Tensor, filter: Tensor, **options: Any) -> Tensor:
        return self._operation("backward_data", None, filter, loss, options)

    def conv_wgrad(self, image: Tensor, loss: Tensor, **options: Any) -> Tensor:
        return self._operation("backward_weight", image, None, loss, options)

    def _operation(self, kind: str, x: Any, weight: Any, y: Any, options: dict[str, Any]) -> Tensor:
        result = Tensor([], [])
        self.kind, self.tensors = kind, [tensor or result for tensor in (x, weight, y)]
        options.pop("compute_data_type")
        names = {"stride": "stride", "pad": "padding", "dilation": "dilation"}
        self.sizes = {ours: tuple(options[theirs]) for ours, theirs in names.items()}
        return result

    def validate(self) -> None:
        if self.tensors[1].dim[-1] == 5:
            raise NotSupportedError

    def build_operation_graph(self) -> None: ...

    def create_execution_plans(self, modes: list[str]) -> None:
        if self.tensors[1].dim[-1] == 4:
            raise RuntimeError("CUDNN_STATUS_INTERNAL_ERROR")

    def check_support(self) -> None: ...
    def build_plans(self, policy: str) -> None: ...

    def deselect_numeric_notes(self, notes: list[str]) -> None:
        Graph.barred = notes

    def deselect_workspace_greater_than(self, limit: int) -> None:
        assert limit >= 1 << 28

    def get_execution_plan_count(self) -> int:
        return 3

    def build_plan_at_index(self, index: int) -> None:
        if index == 1:
            raise ValueError("excluded by a note filter")
        self.built = index

    def get_workspace_size(self) -> int:
        return 0

    def get_workspace_size_plan_at_index(self, index: int) -> int:
        return 16

    def execute_plan_at_index(self, pointers: dict[Tensor, int], workspace: int, index: int, handle: str) -> None:
        self.execute(pointers, workspace, handle)

    def execute(self, pointers: dict[Tensor, int], workspace: int, handle: str) -> None:
        assert handle == "handle"
        x, weight, y = (_array(pointers[tensor], tensor.dim) for tensor in self.tensors)
        group, window = x.shape[1] // weight.shape[1], Window(weight.shape[2:], **self.sizes)
        if self.kind == "forward":
            convolution.forward(x, weight, None, y, window, group)
        elif self.kind == "backward_data":
            convolution.backward_data(y, weight, x, window, group)
        else:
            weight[...] = 0
            convolution.backward_weight(x, y, weight, None, window, group)


def _array(address: int, shape: list[int]) -> np.ndarray[Any, Any]:
    memory = (ctypes.c_float * math.prod(shape)).from_address(address)
    return np.ctypeslib.as_array(memory).reshape(shape)


@pytest.fixture(autouse=True)
def front_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("cudnn")
    notes = ("TENSOR_CORE", "DOWN_CONVERT_INPUTS", "REDUCED_PRECISION_REDUCTION", "NONDETERMINISTIC")
    vars(module).update(
        data_type=SimpleNamespace(FLOAT="float"),
        heur_mode=SimpleNamespace(A="A", FALLBACK="fallback"),
        build_plan_policy=SimpleNamespace(HEURISTICS_CHOICE="choice"),
        numerical_note=SimpleNamespace(**{note: note for note in notes}),
        cudnnGraphNotSupportedError=NotSupportedError,
        create_handle=lambda: "handle",
        set_stream=lambda handle, stream: None,
        pygraph=Graph,
    )
    monkeypatch.setitem(sys.modules, "cudnn", module)
    monkeypatch.setattr(cudnn, "version", lambda: "9.9.9")
    monkeypatch.setattr(fake_gpu.module.cuda, "get_elapsed_time", lambda start, stop: 1.0, raising=False)
    cudnn._plan.cache_clear()
    cudnn._handle.cache_clear()
    yield
    device.configure(autotune=False, math="fp32")
    cudnn._handle.cache_clear()


def _arguments(spatial: tuple[int, ...], kernel: tuple[int, ...], group: int) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    count = len(spatial)
    stride, pad, dilation = (2,) + (1,) * (count - 1), (1,) * count, (1,) * (count - 1) + (2,)
    out = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(spatial, kernel, stride, pad, dilation, strict=True)
    )
    arrays = {"x": (2, 4, *spatial), "weight": (6, 4 // group, *kernel), "y": (2, 6, *out), "bias": (6,)}
    values = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in arrays.items()}
    return {**values, "options": {"window": Window(kernel, stride, pad, dilation), "group": group}}


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize(
    ("spatial", "kernel"), [((9,), (3,)), ((7, 8), (3, 2)), ((4, 5, 6), (2, 3, 1)), ((9, 9), (3, 5))]
)
def test_all_three_directions(spatial: tuple[int, ...], kernel: tuple[int, ...], group: int) -> None:
    """The kernel of width 5 has no plan: it goes the way without cuDNN."""
    results = []
    for move in (np.copy, device.to_device):
        given = _arguments(spatial, kernel, group)
        options = given.pop("options")
        x, weight, y, bias = (move(given[name]) for name in ("x", "weight", "y", "bias"))
        out, grad_x = move(given["y"] * 0), move(given["x"] * 0)
        grad_weight, grad_bias = move(given["weight"]), move(given["bias"])
        convolution.forward(x, weight, bias, out, **options)
        convolution.backward_data(y, weight, grad_x, **options)
        convolution.backward_weight(x, y, grad_weight, grad_bias, **options)
        results.append([device.to_host(array) for array in (out, grad_x, grad_weight, grad_bias)])
    for ours, theirs in zip(results[1], results[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def _forward() -> None:
    given = _arguments((7, 8), (3, 2), 1)
    x, weight, y = (device.to_device(given[name]) for name in ("x", "weight", "y"))
    convolution.forward(x, weight, None, y, **given["options"])


def test_a_plan_is_made_once_for_a_shape_and_an_arithmetic() -> None:
    made = Graph.made
    _forward()
    _forward()
    assert Graph.made == made + 1
    assert "TENSOR_CORE" in Graph.barred
    device.configure(math="tf32")
    _forward()
    assert Graph.made == made + 2
    assert Graph.barred == ["NONDETERMINISTIC"]


def test_a_failure_to_plan_is_told_and_the_result_comes_another_way() -> None:
    given = _arguments((7, 8), (3, 4), 1)
    x, weight, y = (device.to_device(given[name]) for name in ("x", "weight", "y"))
    expected = given["y"] * 0
    convolution.forward(given["x"], given["weight"], None, expected, **given["options"])
    with pytest.warns(UserWarning, match="through cuBLAS: CUDNN_STATUS_INTERNAL_ERROR"):
        convolution.forward(x, weight, None, y, **given["options"])
    np.testing.assert_allclose(device.to_host(y), expected, rtol=1e-5, atol=1e-5)


def test_autotuning_builds_a_plan_that_may_be_used() -> None:
    device.configure(autotune=True)
    _forward()
    shapes, sizes = ((2, 4, 7, 8), (6, 4, 3, 2), (2, 6, 4, 8)), ((2, 1), (1, 1), (1, 2))
    plan = cudnn._plan("forward", shapes, sizes, "fp32", True, 0)
    assert plan is not None
    assert plan.graph.built in (0, 2)
