"""The CPU thread pool of the kernels, and the one knob that sets its size.

A kernel is a serial function over a range that releases the GIL; `run` divides the range among threads. BLAS is called
from inside those ranges, so the BLAS libraries themselves are kept at one thread while segcaffe computes: two levels of
threads on one set of cores only get in each other's way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

Body = Callable[[int, int], None]

_state = threading.local()
_lock = threading.Lock()
_workers: SimpleQueue[_Job] | None = None
_started = 0
_threads = 0


def num_threads() -> int:
    """Number of threads the CPU kernels use; the machine's usable cores unless `set_num_threads` said otherwise."""
    global _threads
    if _threads == 0:
        _threads = int(os.environ.get("SEGCAFFE_NUM_THREADS", 0)) or _usable_cores()
    return _threads


def set_num_threads(count: int) -> None:
    """Set how many threads the CPU kernels (and the BLAS calls inside them) use together.

    Parameters
    ----------
    count:
        At least 1. Results do not depend on it beyond the rounding of sums that are divided among threads.
    """
    global _threads
    if count < 1:
        raise ValueError(f"set_num_threads: the number of threads must be at least 1. Received: {count}.")
    _threads = int(count)


def parts(count: int, grain: int = 1) -> int:
    """Into how many parts `run` would divide ``count`` items of which at least ``grain`` make a part."""
    if getattr(_state, "inside", False):
        return 1
    return max(1, min(num_threads(), count // max(1, grain)))


def run(count: int, body: Body, grain: int = 1, blocks: int = 0) -> None:
    """Call ``body(start, stop)`` over disjoint ranges that cover ``range(count)``, several at a time.

    Parameters
    ----------
    count:
        Number of items.
    body:
        Work on one range; it must write to places of its own and release the GIL where it is long.
    grain:
        Smallest number of items worth a thread of its own.
    blocks:
        Into how many ranges to divide; 0 means a few per thread, so that a slow core takes fewer. A sum that is
        divided must name the number itself, to be the same from run to run.
    """
    workers = parts(count, grain)
    pieces = blocks or (1 if workers == 1 else min(4 * workers, max(workers, count // max(1, grain))))
    pieces = max(1, min(pieces, count))
    if workers == 1 or pieces == 1:
        for i in range(pieces if blocks else min(1, count)):
            body(count * i // pieces, count * (i + 1) // pieces)
        return
    job = _Job(count, pieces, body)
    queue = _pool(workers - 1)
    for _ in range(min(workers, pieces) - 1):
        queue.put(job)
    job.work()
    job.wait()


class _Job:
    """One call of `run`: ranges are taken in order by whoever is free, and the caller leaves when all are done.

    The caller does not wait for a helper that never got a range: on short work it is done before a sleeping thread
    has woken up.
    """

    def __init__(self, count: int, pieces: int, body: Body) -> None:
        self.count, self.pieces, self.body = count, pieces, body
        self.next = iter(range(pieces))
        self.left = pieces
        self.lock = threading.Lock()
        self.finished = threading.Lock()
        self.finished.acquire()
        self.error: BaseException | None = None

    def work(self) -> None:
        """Take ranges until none is left; after an error the others are only counted."""
        outer = getattr(_state, "inside", False)
        _state.inside = True
        # next() on a range iterator is one step under the GIL: no range is taken twice.
        for i in self.next:
            try:
                if self.error is None:
                    self.body(self.count * i // self.pieces, self.count * (i + 1) // self.pieces)
            except BaseException as error:
                self.error = error
            with self.lock:
                self.left -= 1
                if self.left == 0:
                    self.finished.release()
        _state.inside = outer

    def wait(self) -> None:
        """Return when every range is done; raise what a range raised."""
        self.finished.acquire()
        if self.error is not None:
            raise self.error


def _pool(size: int) -> SimpleQueue[_Job]:
    """The queue of a pool with at least ``size`` threads."""
    global _workers, _started
    if _workers is None or _started < size:
        with _lock:
            if _workers is None:
                _workers = SimpleQueue()
            for _ in range(size - _started):
                threading.Thread(target=_serve, args=(_workers,), daemon=True, name="segcaffe-kernel").start()
            _started = max(_started, size)
    return _workers


def _serve(queue: SimpleQueue[_Job]) -> None:
    while True:
        queue.get().work()


def _after_fork() -> None:
    """A forked child has none of its parent's threads."""
    global _workers, _started, _lock
    _workers, _started, _lock = None, 0, threading.Lock()
    _state.__dict__.clear()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
