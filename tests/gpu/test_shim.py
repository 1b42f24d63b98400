"""Every kernel's CUDA source, compiled for the host, against its CPU version.

Shapes are not multiples of a block, or of anything.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
from typing import Any

import numpy as np
import pytest

from segcaffe import device, kernels
from segcaffe.kernels import permutohedral
from tests.gpu.cases import KERNEL_CASES, KernelCase, arrays_of, move_arrays

pytestmark = pytest.mark.usefixtures("host_device")


def _run(case: KernelCase, dtype: Any, on_device: bool) -> dict[str, np.ndarray]:
    function = getattr(importlib.import_module(f"segcaffe.kernels.{case.package}"), case.function)
    wanted = inspect.signature(function).parameters
    arguments = {name: value for name, value in case.arguments(dtype).items() if name in wanted}
    call = move_arrays(arguments, device.to_device) if on_device else arguments
    for one, other in case.same:
        call[one] = call[other]
    function(**call)
    written = {name: arrays_of(call[name]) for name in function.writes}
    return {f"{name} {i}": device.to_host(a) for name, arrays in written.items() for i, a in enumerate(arrays)}


def check_kernel(case: KernelCase, dtype: Any) -> None:
    """The kernel's results on the device must be those on the CPU, to rounding."""
    expected, received = _run(case, dtype, on_device=False), _run(case, dtype, on_device=True)
    tolerance = case.tolerance if dtype == np.float32 else case.tolerance * 1e-3
    for name, values in expected.items():
        # Distances that stand for infinity say nothing about the size of the others.
        scale = max(1.0, float(np.abs(values[np.abs(values) < 1e30]).max(initial=0)))
        np.testing.assert_allclose(received[name], values, rtol=tolerance, atol=tolerance * scale, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", KERNEL_CASES, ids=lambda case: case.id)
def test_cuda_source_gives_what_the_cpu_gives(case: KernelCase, dtype: Any) -> None:
    check_kernel(case, dtype)


def test_every_kernel_has_a_case() -> None:
    declared = {
        (package.name, name)
        for package in pkgutil.iter_modules(kernels.__path__)
        if package.name not in kernels.TOOLBOXES
        and package.ispkg
        and importlib.util.find_spec(f"segcaffe.kernels.{package.name}.gpu")
        for name, value in vars(importlib.import_module(f"segcaffe.kernels.{package.name}")).items()
        if inspect.isfunction(value) and hasattr(value, "writes")
    }
    # The lattice's vertices may be numbered in any way: its test is below.
    assert declared - {(case.package, case.function) for case in KERNEL_CASES} == {("permutohedral", "build")}


@pytest.mark.parametrize("dims", [1, 2, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_lattices_filter_alike(dims: int, reverse: bool) -> None:
    rng = np.random.default_rng(dims)
    features = rng.normal(0, 4, (301, dims)).astype(np.float32)
    values = rng.standard_normal((5, 301)).astype(np.float32)
    results = []
    for move in (np.asarray, device.to_device):
        points, vertices = move(features), move(np.zeros((301, dims + 1), np.int32))
        weights, count = move(np.zeros((301, dims + 1), np.float32)), move(np.zeros(1, np.int64))
        neighbours, out = move(np.zeros((dims + 1, 301 * (dims + 1), 2), np.int32)), move(np.zeros_like(values))
        permutohedral.build(points, vertices, weights, neighbours, count)
        used = int(device.to_host(count)[0])
        permutohedral.apply(move(values), vertices, weights, neighbours[:, :used].copy(), out, reverse)
        results.append((used, device.to_host(out)))
    assert results[0][0] == results[1][0]
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-5, atol=1e-5)
