"""Working memory that each thread keeps between kernel calls, so that a call does not wait for fresh pages."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

_KEEP_BYTES = 1 << 26
_ALIGN_BYTES = 64

_memory = threading.local()


def scratch(name: str, size: int, dtype: Any) -> np.ndarray[Any, Any]:
    """A flat array of ``size`` elements whose contents are unspecified, aligned to a cache line.

    It is the calling thread's own, until the thread asks for the same ``name`` again. Large arrays are not kept.
    """
    count = size * np.dtype(dtype).itemsize
    held: np.ndarray[Any, Any] | None = getattr(_memory, name, None)
    if held is None or held.size < count:
        held = _aligned(count)
        if count <= _KEEP_BYTES:
            setattr(_memory, name, held)
    return held[:count].view(dtype)


def _aligned(count: int) -> np.ndarray[Any, Any]:
    # Kernels compute on elements that they never set, and drop the results: as denormal numbers these would be slow.
    memory = np.zeros(count + _ALIGN_BYTES, np.uint8)
    start = -memory.ctypes.data % _ALIGN_BYTES
    return memory[start : start + count]
