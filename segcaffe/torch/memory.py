"""Memory that PyTorch gives back after each iteration of a loop, and takes again in the next."""

from __future__ import annotations

import ctypes
import sys

from segcaffe.errors import SegcaffeError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's malloc.h."""
_LARGEST_PIECE, _MOST = 1 << 25, (1 << 31) - 1
"""The largest that glibc takes."""


def keep_memory(size: int = 1 << 30) -> bool:
    """Have the C library keep freed memory of this process, up to ``size`` bytes, instead of giving it to the system.

    PyTorch takes tensors on the CPU from the C library and gives them back as soon as they are dropped. Memory that has
    gone back to the system is fresh when it is taken again, and must be cleared, page by page: in a training loop of a
    small net a tenth of the time. Nothing calls this but you; it holds for the rest of the process, for all libraries.

    Parameters
    ----------
    size:
        In bytes, 2 GB at most. Single pieces larger than 32 MB go back to the system nevertheless.

    Returns
    -------
    Whether the C library is one that can be told: glibc is.

    Raises
    ------
    SegcaffeError
        If ``size`` is negative.
    """
    if size < 0:
        raise SegcaffeError(f"keep_memory: size is {size}; it is the number of bytes to keep, 0 or more.")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    thresholds = (_MMAP_THRESHOLD, _LARGEST_PIECE), (_TRIM_THRESHOLD, min(size, _MOST))
    return mallopt is not None and all(mallopt(*threshold) == 1 for threshold in thresholds)
