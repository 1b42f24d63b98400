"""A kernel's three faces, contract, CPU and GPU, have one signature; none of them needs CuPy to be imported."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
from types import FunctionType

import pytest

from segcaffe import kernels

PACKAGES = [m.name for m in pkgutil.iter_modules(kernels.__path__) if m.ispkg and m.name not in kernels.TOOLBOXES]
ON_GPU = [package for package in PACKAGES if importlib.util.find_spec(f"segcaffe.kernels.{package}.gpu")]
"""Kernels with a CUDA version; the others run on the host, with a warning."""


def _contract(package: str) -> dict[str, FunctionType]:
    module = importlib.import_module(f"segcaffe.kernels.{package}")
    return {name: value for name, value in vars(module).items() if hasattr(value, "writes")}


def _parameters(function: FunctionType) -> list[tuple[str, object, object]]:
    return [(p.name, p.default, p.kind) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("package", PACKAGES)
def test_implementations_have_the_contracts_signature(package: str) -> None:
    contract = _contract(package)
    assert contract
    for side in ("cpu", "gpu")[: 1 + (package in ON_GPU)]:
        module = importlib.import_module(f"segcaffe.kernels.{package}.{side}")
        for name, declared in contract.items():
            implementation = getattr(module, name, None)
            assert implementation is not None, f"{package}.{side} has no {name}"
            assert _parameters(implementation) == _parameters(declared), f"{package}.{side}.{name}"


def test_gpu_modules_import_neither_cupy_nor_numba() -> None:
    imports = "; ".join(f"import segcaffe.kernels.{package}.gpu" for package in ON_GPU)
    check = f"{imports}; import sys; sys.exit('cupy' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
