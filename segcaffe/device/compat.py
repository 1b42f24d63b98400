"""Finding the GPU array library, with an error that says what is missing and how to get it."""

from __future__ import annotations

from types import ModuleType

from segcaffe.errors import DeviceError

_ON_THE_CPU = "Commands run on the CPU with --cpu, scripts with set_mode_cpu()."
_INSTALL = (
    'Install it: pip install "cupy-cuda12x[ctk]" (or "cupy-cuda13x[ctk]", as the driver serves CUDA 12 or 13). '
    f"{_ON_THE_CPU}"
)
_substitute: ModuleType | None = None


def load_gpu_module() -> ModuleType:
    """CuPy, once it has shown that it can reach a device; DeviceError otherwise."""
    if _substitute is not None:
        return _substitute
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(f"GPU mode needs CuPy, which cannot be imported ({error}). {_INSTALL}") from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"GPU mode needs a CUDA device. {_driver(cupy, error)} {_ON_THE_CPU}") from error
    if count == 0:
        raise DeviceError(f"GPU mode needs a CUDA device; this machine has none. {_ON_THE_CPU}")
    module: ModuleType = cupy
    return module


def _driver(cupy: ModuleType, error: Exception) -> str:
    """What is wrong with the driver: missing, older than CuPy's CUDA, or what it says itself."""
    driver, needed = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()
    if driver == 0:
        return "No driver for one is installed, or this process cannot see it."
    if driver // 1000 < needed // 1000:
        return (
            f"The driver serves CUDA {driver // 1000}, this CuPy needs {needed // 1000}: install a newer driver, or "
            f"CuPy for CUDA {driver // 1000}."
        )
    return f"The driver says: {error}."


def substitute_gpu_module(module: ModuleType | None) -> None:
    """Let ``module`` stand for CuPy (tests run the GPU paths on a fake device with it); None ends that."""
    global _substitute
    _substitute = module
