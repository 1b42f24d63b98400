"""What users see of the device: its description, its memory, and what is missing."""

from __future__ import annotations

import builtins
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segcaffe import device
from segcaffe.cli.main import main
from segcaffe.device import compat, cudnn, memory
from segcaffe.errors import DeviceError
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests import fake_gpu

NET = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "twice" type: "Power" bottom: "x" top: "y" power_param { scale: 2 } }
"""


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The fake device, with what it says of itself."""
    module = fake_gpu.module
    properties = {"name": b"Fake 9000", "totalGlobalMem": 8 << 30, "multiProcessorCount": 3, "major": 9, "minor": 0}
    runtime = SimpleNamespace(
        getDeviceCount=lambda: 2,
        driverGetVersion=lambda: 13010,
        runtimeGetVersion=lambda: 12090,
        getDeviceProperties=lambda number: properties,
        memGetInfo=lambda: (1 << 29, 8 << 30),
    )
    freed: list[int] = []
    pool = SimpleNamespace(
        used_bytes=lambda: 5 << 30, total_bytes=lambda: 6 << 30, free_all_blocks=lambda: freed.append(1)
    )
    monkeypatch.setattr(module.cuda, "runtime", runtime)
    monkeypatch.setattr(module, "get_default_memory_pool", lambda: pool, raising=False)
    monkeypatch.setattr(module, "__version__", "14.0", raising=False)
    compat.substitute_gpu_module(module)
    return SimpleNamespace(module=module, freed=freed)


def test_device_query_prints_each_gpu(gpu: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device-query"]) == 0
    text = capsys.readouterr().out
    assert "CuPy: 14.0" in text
    assert "driver for CUDA: 13.1, CUDA: 12.9" in text
    assert text.count("Fake 9000") == 2
    assert "memory: 8.0 GiB" in text
    assert "compute capability: 9.0" in text


def test_device_query_of_one_gpu(gpu: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device-query", "--gpu", "1"]) == 0
    assert "GPU 0" not in capsys.readouterr().out
    assert main(["device-query", "--gpu", "2"]) == 2
    assert "from 0 to 1. Received: 2" in capsys.readouterr().err


def test_without_cupy_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without_cupy(name: str, *rest: Any, **options: Any) -> Any:
        if name == "cupy":
            raise ImportError("No module named 'cupy'")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_cupy)
    assert main(["device-query"]) == 2
    assert '"cupy-cuda12x[ctk]"' in capsys.readouterr().err


class _NoDriverError(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("driver", "message"),
    [(0, "No driver for one"), (12080, "serves CUDA 12, this CuPy needs 13"), (13000, "The driver says: no device")],
)
def test_the_error_says_what_is_wrong_with_the_driver(
    driver: int, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise _NoDriverError("no device")

    cupy = ModuleType("cupy")
    runtime = SimpleNamespace(
        getDeviceCount=fail,
        CUDARuntimeError=_NoDriverError,
        driverGetVersion=lambda: driver,
        runtimeGetVersion=lambda: 13020,
    )
    vars(cupy)["cuda"] = SimpleNamespace(runtime=runtime)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert main(["device-query"]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_cudnn_that_finds_no_library_is_told_and_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise RuntimeError("libcudnn.so.9: cannot open shared object file")

    front_end = ModuleType("cudnn")
    front_end.__spec__ = ModuleSpec("cudnn", None)
    vars(front_end)["backend_version"] = fail
    monkeypatch.setitem(sys.modules, "cudnn", front_end)
    cudnn.version.cache_clear()
    with pytest.warns(UserWarning, match="cannot use the library: libcudnn"):
        assert not cudnn.available()
    vars(front_end)["backend_version"] = lambda: 92801
    cudnn.version.cache_clear()
    assert cudnn.version() == "9.28.1"
    cudnn.version.cache_clear()


def test_out_of_memory_says_who_asked_for_how_much_and_what_helps(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    device.set_mode_gpu()
    net = Net(parse(NET, caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST)

    def exhausted(*_: object) -> None:
        raise MemoryError("Out of memory allocating 3,221,225,472 bytes (allocated so far: 5,368,709,120 bytes).")

    monkeypatch.setattr(net.layers[1], "forward", exhausted)
    with pytest.raises(DeviceError) as caught:
        net.forward()
    message = str(caught.value)
    assert message.startswith('layer "twice" (Power): needs 3.0 GiB more than GPU 0 has')
    assert "arrays take 5.0 GiB, and 512.0 MiB are free" in message
    assert "batch_size" in message
    assert gpu.freed == [1]


def test_the_process_goes_on_after_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(parse(NET, caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST)

    def exhausted(*_: object) -> None:
        raise MemoryError("Unable to allocate 3 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(net.layers[1], "forward", exhausted)
        with pytest.raises(DeviceError, match="not enough memory"):
            net.forward()
    net.blobs["x"].data[...] = 1
    np.testing.assert_array_equal(net.forward()["y"], np.full((2, 3), 2))


def test_memory_of_the_cpu_is_not_asked_for() -> None:
    with pytest.raises(DeviceError, match="set_mode_gpu"):
        memory.usage()
