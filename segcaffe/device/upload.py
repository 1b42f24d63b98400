"""Batches on their way to the GPU: copied from pinned memory on their own stream while the last is computed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segcaffe.device import mode
from segcaffe.device.mode import Array

Host = np.ndarray[Any, Any]


class Uploader:
    """Copies batches to the GPU, where possible ahead of their use.

    `stage` begins to copy a batch and returns at once; `fetch` gives a batch's arrays on the device, those staged if
    they were, safe to be read by what is asked of the current stream from now on. What `fetch` gave is overwritten
    from the next call of `stage` or `fetch` on, but not before the current stream has read it.
    """

    def __init__(self) -> None:
        self._stream: Any = None
        self._slots: list[_Slot] = []
        self._staged: tuple[Host, ...] = ()

    def stage(self, arrays: Sequence[Host]) -> None:
        """Begin to copy these arrays; they may change as soon as the call returns."""
        gpu = mode.xp()
        if self._stream is None:
            self._stream = gpu.cuda.Stream(non_blocking=True)
        while len(self._slots) < len(arrays):
            self._slots.append(_Slot())
        # What the current stream still reads of the last batch must not be overwritten.
        read = gpu.cuda.Event(disable_timing=True)
        read.record(gpu.cuda.get_current_stream())
        self._stream.wait_event(read)
        for slot, array in zip(self._slots, arrays, strict=False):
            slot.copy(array, self._stream)
        self._staged = tuple(arrays)

    def fetch(self, arrays: Sequence[Host]) -> list[Array]:
        """The arrays on the device; they are known by identity."""
        same = len(arrays) == len(self._staged) and all(a is b for a, b in zip(arrays, self._staged, strict=True))
        if not same:
            self.stage(arrays)
        self._staged = ()
        current = mode.xp().cuda.get_current_stream()
        for slot in self._slots[: len(arrays)]:
            current.wait_event(slot.arrived)
        return [slot.view(array) for slot, array in zip(self._slots, arrays, strict=False)]


class _Slot:
    """Memory for one array of a batch, pinned on the host and on the device, as large as the largest so far."""

    def __init__(self) -> None:
        self._pinned: Host = np.empty(0, np.uint8)
        self._device: Array = None
        self.arrived: Any = None

    def copy(self, array: Host, stream: Any) -> None:
        """Copy to the device by way of pinned memory; ``arrived`` is the event of its end."""
        gpu = mode.xp()
        if self.arrived is not None:
            # The last copy must have left the pinned memory.
            self.arrived.synchronize()
        if array.nbytes > self._pinned.size:
            self._pinned = np.frombuffer(gpu.cuda.alloc_pinned_memory(array.nbytes), np.uint8, array.nbytes)
            self._device = gpu.empty(array.nbytes, np.uint8)
        pinned = self._pinned[: array.nbytes].view(array.dtype).reshape(array.shape)
        pinned[...] = array
        self.view(array).set(pinned, stream=stream)
        self.arrived = gpu.cuda.Event(disable_timing=True)
        self.arrived.record(stream)

    def view(self, array: Host) -> Array:
        """The device's memory as an array like the given one."""
        return self._device[: array.nbytes].view(array.dtype).reshape(array.shape)
