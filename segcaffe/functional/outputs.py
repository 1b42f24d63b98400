"""Memory of answers on the CPU that become another library's, taken again when that library has let go of it.

A loop in PyTorch makes answers of the same sizes again and again. Memory that goes back to the system in between is
fresh pages each time, which cost more than the small operators compute.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_KEEP_BYTES = 1 << 26
"""What lies unused at most."""
_LEAST_BYTES = 1 << 16
"""Smaller answers take no fresh pages of their own."""
_ALIGN_BYTES = 64


class Outputs:
    """Pieces of memory that are lent, and those that came back."""

    def __init__(self) -> None:
        # A piece may come back while the lock is held: a collection of garbage can happen anywhere.
        self._lock = threading.RLock()
        self._unused: list[Array] = []

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        """An array whose contents are unspecified.

        Its memory is lent for as long as the array itself exists: it must be handed to a library that holds it, not
        viewed by other arrays of NumPy, which would hold the memory behind it instead.
        """
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        if size < _LEAST_BYTES:
            return np.empty(shape, dtype)
        piece = self._take(size)
        start = -piece.ctypes.data % _ALIGN_BYTES
        array: Array = piece[start : start + size].view(dtype).reshape(shape)
        weakref.finalize(array, self._give, piece).atexit = False
        return array

    def unused(self) -> int:
        """Bytes that are kept and not lent."""
        return sum(piece.nbytes for piece in self._unused)

    def release(self) -> None:
        """Give what is not lent back to the system."""
        with self._lock:
            self._unused.clear()

    def _take(self, size: int) -> Array:
        with self._lock:
            for index, piece in enumerate(self._unused):
                if size + _ALIGN_BYTES <= piece.nbytes <= size + size // 4 + _ALIGN_BYTES:
                    return self._unused.pop(index)
        return np.empty(size + _ALIGN_BYTES, np.uint8)

    def _give(self, piece: Array) -> None:
        with self._lock:
            self._unused.append(piece)
            # The oldest go: sizes that are no longer asked for.
            while self.unused() > _KEEP_BYTES:
                self._unused.pop(0)


outputs = Outputs()
"""Those of this process."""
