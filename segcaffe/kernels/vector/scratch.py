"""Workspace that each thread keeps between kernel calls, so that a call does not wait for fresh pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segcaffe.threads import recording, seats

_KEEP_BYTES = 1 << 26
_ALIGN_BYTES = 64
_STEP_BYTES = 1 << 20

Bytes = dict[str, int]
"""What a kernel takes under each name, all threads together."""


def largest(*several: Bytes) -> Bytes:
    """What passes take that run one after the other: each name's most."""
    return {name: max(each.get(name, 0) for each in several) for name in {key for each in several for key in each}}


def scratch(name: str, size: int, dtype: Any) -> np.ndarray[Any, Any]:
    """A flat array of ``size`` elements whose contents are unspecified, aligned to a cache line.

    It is the calling thread's own (its seat's), until it asks for the same ``name`` again. Large arrays are not kept.
    """
    count = size * np.dtype(dtype).itemsize
    own = seats.memory()
    held: np.ndarray[Any, Any] | None = own.get(name)
    if held is None or held.size < count:
        # First the old one goes; sizes of which one is a little larger than the other use the same memory.
        held = None
        own.pop(name, None)
        held = _aligned(-(-count // _STEP_BYTES) * _STEP_BYTES if count > _STEP_BYTES else count)
        if count <= _KEEP_BYTES:
            own[name] = held
        else:
            # A recording would keep it.
            recording.refuse()
    return held[:count].view(dtype)


def prepared(name: str, size: int, dtype: Any, fill: Callable[[Any], None]) -> np.ndarray[Any, Any]:
    """What follows from a layer's parameters alone: `scratch` that ``fill`` has written.

    Where the thread is recording it is memory of its own, written this once: a recording holds until a parameter
    changes.
    """
    tape = recording.tape()
    if tape is None:
        memory = scratch(name, size, dtype)
        fill(memory)
        return memory
    memory = _aligned(size * np.dtype(dtype).itemsize).view(dtype)
    with recording.recording(tape if tape.scouting else None):
        fill(memory)
    tape.held += memory.nbytes
    return memory


def release() -> None:
    """Give back what the calling thread keeps."""
    seats.memory().clear()


def kept() -> dict[str, int]:
    """Bytes that the calling thread keeps, by name."""
    return {name: held.nbytes for name, held in seats.memory().items()}


def _aligned(count: int) -> np.ndarray[Any, Any]:
    # Kernels compute on elements that they never set, and drop the results: as denormal numbers these would be slow.
    memory = np.zeros(count + _ALIGN_BYTES, np.uint8)
    start = -memory.ctypes.data % _ALIGN_BYTES
    return memory[start : start + count]
