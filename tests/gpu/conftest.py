"""A device whose kernels are the CUDA sources, compiled as C++ and run on the host."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from types import ModuleType

import pytest

from segcaffe import device
from segcaffe.device import compat, cublas, cublas_library
from segcaffe.kernels.cuda import compile
from tests import fake_gpu
from tests.gpu import host


@pytest.fixture
def host_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """GPU mode on the fake device, with a compiler for CUDA sources."""
    if not host.available:
        pytest.skip("g++ is not installed: CUDA sources cannot be compiled for the host")
    monkeypatch.setattr(fake_gpu.module, "RawModule", host.HostModule, raising=False)
    monkeypatch.setattr(cublas_library, "address", lambda: 7)
    monkeypatch.setattr(cublas, "_library", host.HostBlas)
    compat.substitute_gpu_module(fake_gpu.module)
    device.set_mode_gpu()
    yield
    device.set_mode_cpu()
    compile._function.cache_clear()


@pytest.fixture(scope="session")
def core() -> Iterator[ModuleType]:
    """NVIDIA's package whose Program compiles by NVRTC."""
    with warnings.catch_warnings():
        # The package warns about drivers and toolkits that this does not use.
        warnings.simplefilter("ignore")
        try:
            yield importlib.import_module("cuda.core")
        except ImportError as error:
            pytest.skip(f"cuda-core, cuda-bindings and NVRTC are needed to compile CUDA sources: {error}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that compile CUDA sources are slow: NVRTC and g++ take seconds for each."""
    for item in items:
        if isinstance(item, pytest.Function) and {"host_device", "core"} & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)
