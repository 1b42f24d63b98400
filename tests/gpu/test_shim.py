"""Every kernel's CUDA source, compiled for the host, against its CPU version.

Shapes are not multiples of a block, or of anything.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import numpy as np
import pytest

from segcaffe import device, kernels
from tests.gpu.cases import KERNEL_CASES, KernelCase

pytestmark = pytest.mark.usefixtures("host_device")


def _run(case: KernelCase, dtype: Any, on_device: bool) -> dict[str, np.ndarray]:
    function = getattr(importlib.import_module(f"segcaffe.kernels.{case.package}"), case.function)
    wanted = inspect.signature(function).parameters
    arguments = {name: value for name, value in case.arguments(dtype).items() if name in wanted}
    call = {k: device.to_device(v) if on_device and isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    for one, other in case.same:
        call[one] = call[other]
    function(**call)
    return {name: device.to_host(call[name]) for name in function.writes if call[name] is not None}


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", KERNEL_CASES, ids=lambda case: case.id)
def test_cuda_source_gives_what_the_cpu_gives(case: KernelCase, dtype: Any) -> None:
    expected, received = _run(case, dtype, on_device=False), _run(case, dtype, on_device=True)
    tolerance = case.tolerance if dtype == np.float32 else case.tolerance * 1e-3
    for name, values in expected.items():
        # Distances that stand for infinity say nothing about the size of the others.
        scale = max(1.0, float(np.abs(values[np.abs(values) < 1e30]).max(initial=0)))
        np.testing.assert_allclose(received[name], values, rtol=tolerance, atol=tolerance * scale, err_msg=name)


def test_every_kernel_has_a_case() -> None:
    declared = {
        (package.name, name)
        for package in pkgutil.iter_modules(kernels.__path__)
        if package.ispkg
        for name, value in vars(importlib.import_module(f"segcaffe.kernels.{package.name}")).items()
        if inspect.isfunction(value) and hasattr(value, "writes")
    }
    assert declared - {(case.package, case.function) for case in KERNEL_CASES} == set()
