"""The mode of the process (CPU or GPU), and moving arrays between host and device.

As in Caffe the mode is one setting for the process; blobs follow it lazily, each on its next use.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Literal

import numpy as np

from segcaffe.device.compat import load_gpu_module
from segcaffe.errors import DeviceError

Mode = Literal["CPU", "GPU"]
Array = Any
"""A NumPy array or one of the GPU module; layers do not distinguish them."""

_gpu: ModuleType | None = None
_last_gpu: ModuleType | None = None
_device_id = 0
_visits = 0


def set_mode_cpu() -> None:
    """Compute on the CPU from now on."""
    global _gpu
    _gpu = None


def set_mode_gpu() -> None:
    """Compute on the GPU chosen by `set_device` (default 0) from now on; DeviceError says what is missing."""
    global _gpu, _last_gpu
    module = load_gpu_module()
    _use_device(module, _device_id)
    _gpu = _last_gpu = module


def set_device(device_id: int) -> None:
    """Choose the GPU that GPU mode uses, by its number."""
    global _device_id
    if device_id < 0:
        raise DeviceError(f"A GPU is chosen by its number, 0 or more. Received: {device_id}.")
    _device_id = int(device_id)
    if _gpu is not None:
        _use_device(_gpu, _device_id)


def current_device() -> int:
    """The number of the GPU that GPU mode uses."""
    return _device_id


def get_mode() -> Mode:
    """The mode: "CPU" or "GPU"."""
    return "CPU" if _gpu is None else "GPU"


def xp() -> ModuleType:
    """The array module of the current mode: NumPy or CuPy."""
    return np if _gpu is None else _gpu


def array_module(array: Array) -> ModuleType:
    """The module that owns ``array``: NumPy for host arrays, the GPU module otherwise."""
    if isinstance(array, np.ndarray) and not is_device_array(array):
        return np
    if _last_gpu is None:
        raise DeviceError(f"A {type(array).__name__} is not an array of the host, and GPU mode was never set.")
    return _last_gpu


def is_device_array(array: Array) -> bool:
    """Whether ``array`` lives on a GPU."""
    return _last_gpu is not None and isinstance(array, _last_gpu.ndarray)


def to_host(array: Array) -> np.ndarray[Any, Any]:
    """``array`` as a NumPy array; itself when it is one."""
    if not is_device_array(array):
        return np.asarray(array)
    assert _last_gpu is not None
    note_host_visit()
    host: np.ndarray[Any, Any] = _last_gpu.asnumpy(array)
    return host


def to_device(array: Array) -> Array:
    """``array`` on the current mode's device; itself when it is there already."""
    if _gpu is None:
        return to_host(array)
    if is_device_array(array):
        return array
    note_host_visit()
    return _gpu.asarray(array)


def gpu_module() -> ModuleType:
    """The GPU's array module, whatever the mode; its arrays are known from now on. DeviceError says what is missing."""
    global _last_gpu
    if _last_gpu is None:
        _last_gpu = load_gpu_module()
    return _last_gpu


def note_host_visit() -> None:
    """Count a use of host memory, or a transfer to the device or back."""
    global _visits
    _visits += 1


def host_visits() -> int:
    """How often host memory was used or moved: a number that stays where work keeps to the device."""
    return _visits


def synchronize() -> None:
    """Wait until everything asked of the GPU is done; nothing to do on the CPU."""
    if _gpu is not None:
        _gpu.cuda.get_current_stream().synchronize()


def _use_device(module: ModuleType, device_id: int) -> None:
    count = module.cuda.runtime.getDeviceCount()
    if device_id >= count:
        raise DeviceError(f"GPU {device_id} does not exist; this machine has {count}, numbered from 0.")
    module.cuda.Device(device_id).use()
