"""Where arrays live: the mode (CPU or GPU), transfers, random numbers. The only place that knows NumPy from CuPy."""

from segcaffe.device.mode import (
    array_module,
    current_device,
    get_mode,
    gpu_module,
    host_visits,
    is_device_array,
    note_host_visit,
    set_device,
    set_mode_cpu,
    set_mode_gpu,
    synchronize,
    to_device,
    to_host,
    xp,
)
from segcaffe.device.random import device_generator, generator, get_state, set_random_seed, set_state
from segcaffe.device.settings import Settings, configure, settings, using

__all__ = [
    "Settings",
    "array_module",
    "configure",
    "current_device",
    "device_generator",
    "generator",
    "get_mode",
    "get_state",
    "gpu_module",
    "host_visits",
    "is_device_array",
    "note_host_visit",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_random_seed",
    "set_state",
    "settings",
    "synchronize",
    "to_device",
    "to_host",
    "using",
    "xp",
]
