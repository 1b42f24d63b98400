"""OpenCV's own threads: as many as this package uses, and one where several threads read images at a time.

OpenCV divides the work on an image among a pool of its own. Who uses it calls `hold_threads` after importing it, which
is done where it is needed only: importing takes a while.
"""

from __future__ import annotations

import threading

from segcaffe.threads import parallel

_lock = threading.Lock()
_readers = 0


def hold_threads() -> None:
    """Let OpenCV use as many threads as the kernels (`parallel.set_num_threads`), or one beside data layers' own."""
    import cv2

    wanted = 1 if _readers else parallel.num_threads()
    if cv2.getNumThreads() != wanted:
        cv2.setNumThreads(wanted)


def add_readers(count: int) -> None:
    """Count ``count`` more threads that read images, or fewer with a negative number."""
    global _readers
    with _lock:
        _readers = max(0, _readers + count)
