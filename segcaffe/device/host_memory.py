"""The machine's memory: how much a process may use, asked before large arrays are made rather than found out after.

An operating system that promises more memory than it has ends a process that comes to use it; so what is large is
compared with what is there first.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

if sys.platform != "win32":
    import resource

_LARGE = 1 << 27
"""Bytes from which the look at the machine's memory costs little beside filling the array with zeros."""
_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where containers are told how much they may use, in the two versions of Linux' control groups."""
_UNKNOWN = 1 << 62


class HostMemoryError(MemoryError):
    """The machine, not its GPU, has no room for what is asked for."""


@functools.cache
def machine_memory() -> int:
    """Bytes that this process could use if it were alone: the machine's, or what its container or its user may have."""
    limits = [_physical(), *(_number_in(Path(name)) for name in _GROUPS)]
    if sys.platform != "win32":
        limits += [limit for limit in resource.getrlimit(resource.RLIMIT_AS) if limit != resource.RLIM_INFINITY]
    return min(limit for limit in limits if limit > 0)


def free_memory() -> int:
    """Bytes that could be used now without taking them from others, swap included; all where no system tells."""
    try:
        lines = Path("/proc/meminfo").read_text()
    except OSError:
        return machine_memory()
    found = {name: int(kib) << 10 for name, kib in re.findall(r"^(\w+): +(\d+) kB", lines, re.MULTILINE)}
    if "MemAvailable" not in found:
        return machine_memory()
    return min(machine_memory(), found["MemAvailable"] + found.get("SwapFree", 0))


def require(count: int) -> None:
    """HostMemoryError unless the machine has room for ``count`` bytes more."""
    if count >= _LARGE and count > (free := free_memory()):
        raise HostMemoryError(
            f"{in_units(count)} are asked for at once; of the machine's {in_units(machine_memory())}, "
            f"{in_units(free)} are free"
        )


def zeros(size: int, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """A flat array of zeros; HostMemoryError where the machine has no room for it."""
    require(size * dtype.itemsize)
    return np.zeros(size, dtype)


def in_units(count: int) -> str:
    """Bytes in the unit that suits: ``1.5 GiB``."""
    value, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "bytes" else f"{value:.1f} {units[0]}"


def _physical() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return _UNKNOWN


def _number_in(path: Path) -> int:
    """The number that a file holds; one without a limit where there is none, or a word."""
    try:
        text = path.read_text().strip()
    except OSError:
        return _UNKNOWN
    return int(text) if text.isdecimal() and len(text) < 20 else _UNKNOWN
