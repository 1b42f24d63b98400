"""Print the GPUs of this machine, and the libraries that segcaffe uses on them."""

from __future__ import annotations

import argparse
import importlib.metadata
from typing import Any

from segcaffe.cli.common import add_option
from segcaffe.device import cudnn
from segcaffe.device.compat import load_gpu_module
from segcaffe.errors import DeviceError
from segcaffe.text.digits import whole_number

_PROPERTIES = {
    "name": "name",
    "totalGlobalMem": "memory",
    "multiProcessorCount": "multiprocessors",
    "maxThreadsPerBlock": "threads of a block, at most",
    "sharedMemPerBlock": "shared memory of a block",
    "l2CacheSize": "L2 cache",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_option(parser, "gpu", "number of the GPU to print, or all (default)", default="all", metavar="ID")


def run(options: argparse.Namespace) -> int:
    """Print versions, then each GPU; DeviceError says what is missing."""
    gpu = load_gpu_module()
    runtime = gpu.cuda.runtime
    print(f"CuPy: {gpu.__version__}")
    print(f"driver for CUDA: {_version(runtime.driverGetVersion())}, CUDA: {_version(runtime.runtimeGetVersion())}")
    print(f"cuDNN: {_cudnn()}")
    count = runtime.getDeviceCount()
    for number in _chosen(options.gpu, count):
        print(f"\nGPU {number}")
        for name, value in _describe(runtime.getDeviceProperties(number)):
            print(f"  {name}: {value}")
    return 0


def _chosen(text: str, count: int) -> list[int]:
    if text == "all":
        return list(range(count))
    number = whole_number(text)
    if number is None or number >= count:
        raise DeviceError(f"--gpu takes all, or a number from 0 to {count - 1}. Received: {text}.")
    return [number]


def _describe(properties: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of a device's properties that matter here."""
    lines = []
    for key, title in _PROPERTIES.items():
        value = properties.get(key)
        if isinstance(value, bytes):
            lines.append((title, value.decode()))
        elif value is not None:
            lines.append((title, _bytes(value) if "em" in key or "Size" in key else str(value)))
    lines.append(("compute capability", f"{properties['major']}.{properties['minor']}"))
    return lines


def _bytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count // 1024} KiB"


def _version(number: int) -> str:
    """CUDA's versions are 1000 times the major number plus 10 times the minor one."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _cudnn() -> str:
    version = cudnn.version()
    if version is None:
        return "not installed (convolutions go through cuBLAS)"
    return f"{version}, front end: {importlib.metadata.version('nvidia-cudnn-frontend')}"
