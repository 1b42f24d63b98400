"""The CPU thread pool of the kernels, and the one knob that sets its size.

A kernel is a serial function over a range that releases the GIL; `run` divides the range among threads. BLAS is called
from inside those ranges, so the BLAS libraries themselves are kept at one thread while segcaffe computes: two levels of
threads on one set of cores only get in each other's way.

A pass through a net is a sequence of short jobs. A thread that has finished its part watches for the next one for
`WATCH` microseconds before it goes to sleep, and so does the caller who waits for the others (`waiting.py`).
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from segcaffe.errors import SegcaffeError
from segcaffe.text.digits import whole_number
from segcaffe.threads import seats
from segcaffe.threads.recording import refuse_unless_done

Body = Callable[[int, int], None]

_GRAIN_CYCLES = 1e5
"""Work below which a second thread costs more than it saves."""
WATCH = 200.0
"""Microseconds that a thread waits awake for something to do."""
_CALLER_LEAVES = 10.0
"""Microseconds that a caller needs, at most, from giving a job to being in compiled code, without the GIL."""
_HELPER_LEAVES = 3.0
"""The same for a helper, from its last range to watching again; and between two helpers that begin."""
_PASS = 20_000.0
"""Microseconds that a helper waits awake for more pieces of a pass that others play."""
_MOST_TOGETHER = 8
"""Threads that play recorded work together: each has its own list of calls for each piece."""
_MOST_THREADS = 1024
"""That the environment may ask for, as the commands' --threads."""
_SHOWN = 60
"""Characters of a wrong value that an error shows."""

_state = threading.local()
_lock = threading.Lock()
_pool: Pool | None = None
_threads = 0


def num_threads() -> int:
    """Number of threads the CPU kernels use.

    What `set_num_threads` said last, else the environment's SEGCAFFE_NUM_THREADS, else the machine's usable cores.

    Raises
    ------
    SegcaffeError
        Where SEGCAFFE_NUM_THREADS is no whole number of at least 1.
    """
    global _threads
    if _threads == 0:
        _threads = _threads_wanted() or _usable_cores()
    return _threads


def _threads_wanted() -> int:
    """What the environment asks for; 0 where it is silent."""
    text = os.environ.get("SEGCAFFE_NUM_THREADS", "").strip()
    if not text:
        return 0
    count = whole_number(text)
    if count is None or not 1 <= count <= _MOST_THREADS:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        raise SegcaffeError(
            f"The environment variable SEGCAFFE_NUM_THREADS must be a whole number of at least 1, and {_MOST_THREADS} "
            f'at most. Received: "{shown}". Unset it to use all cores.'
        )
    return count


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


def share_cores(processes: int) -> None:
    """Use a part of the usable cores, as one of so many processes that have the same ones; unless told otherwise."""
    global _threads
    if processes > 1 and _threads == 0 and not _threads_wanted():
        _threads = max(1, _usable_cores() // processes)


def usable_cores() -> tuple[int, ...]:
    """The numbers of the cores that this process may use, as far as the system tells."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


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
    refuse_unless_done()
    workers, pieces = _pieces(count, grain, blocks)
    if workers == 1 or pieces == 1:
        for i in range(pieces if blocks else min(1, count)):
            body(count * i // pieces, count * (i + 1) // pieces)
        return
    job = _Job(count, pieces, body)
    pool = shared_pool(workers - 1)
    pool.give(job, min(workers, pieces) - 1)
    job.work()
    job.wait(pool)


def _pieces(count: int, grain: int, blocks: int) -> tuple[int, int]:
    """How many threads work on how many ranges."""
    workers = parts(count, grain)
    pieces = blocks or (1 if workers == 1 else min(4 * workers, max(workers, count // max(1, grain))))
    return workers, max(1, min(pieces, count))


def pieces_of(count: int, grain: int = 1, blocks: int = 0) -> list[tuple[int, int]]:
    """The ranges over which `run` calls its body."""
    _, pieces = _pieces(count, grain, blocks)
    return [(count * i // pieces, count * (i + 1) // pieces) for i in range(pieces if blocks else min(pieces, count))]


def serial_ranges(count: int, grain: int = 1, blocks: int = 0) -> list[tuple[int, int]] | None:
    """The ranges over which `run` calls its body, where the calling thread does it all; None where several work."""
    workers, pieces = _pieces(count, grain, blocks)
    if workers > 1 and pieces > 1:
        return None
    return pieces_of(count, grain, blocks)


def team_size() -> int:
    """How many threads play recorded work together; 1 where that would not pay."""
    count = num_threads()
    return count if count <= min(_MOST_TOGETHER, _usable_cores()) else 1


@contextmanager
def as_helper(seat: int) -> Iterator[None]:
    """Do what follows as a thread of this seat does it inside `run`."""
    outer, _state.inside = getattr(_state, "inside", False), True
    try:
        with seats.taken(seat):
            yield
    finally:
        _state.inside = outer


def run_cycles(count: int, cycles: float, body: Body) -> None:
    """`run` for work of known cost in processor cycles, finely divided, lest a thread wait long for the others."""
    sizes = division(count, cycles)
    if sizes is not None:
        run(count, body, *sizes)


def division(count: int, cycles: float, least: float = _GRAIN_CYCLES) -> tuple[int, int] | None:
    """The grain and the number of ranges for `run_cycles`; None where there is nothing to do.

    ``least`` are the cycles that make a part.
    """
    if count <= 0:
        return None
    grain = max(1, int(least * count / max(cycles, 1.0)))
    return grain, max(1, min(count // grain, 12 * num_threads()) if parts(count, grain) > 1 else 1)


def threads_for(count: int) -> int:
    """How many threads work on so many items at most."""
    return min(num_threads(), max(1, count))


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
        self.done = np.zeros(1, np.int64)
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
                    self.done[0] = 1
        _state.inside = outer

    def wait(self, pool: Pool) -> None:
        """Return when every range is done; raise what a range raised."""
        if self.left:
            pool.watch(self.done, 0, _HELPER_LEAVES)
        self.finished.acquire()
        # A helper may keep the job for long, but not the arrays that the body works on.
        del self.body
        if self.error is not None:
            raise self.error


class Pool:
    """Threads that take jobs from a queue, and pieces of what its team plays.

    ``bell`` changes whenever a job is put there.

    Attributes
    ----------
    team:
        What plays recorded calls.
    patience:
        How many pauses a caller waits awake for the others.
    """

    def __init__(self) -> None:
        from segcaffe.threads import waiting
        from segcaffe.threads.placing import Placing
        from segcaffe.threads.team import Team

        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self.team = Team()
        self.bell = self.team.words[:1]
        self.started = 0
        self._placing = Placing()
        self._numbers: list[int] = []
        self._watch = waiting.watch
        self._per_microsecond = waiting.pauses_per_microsecond()
        self.patience = int(WATCH * self._per_microsecond)
        self._busy = int(_PASS * self._per_microsecond)

    def start(self, size: int) -> None:
        """Have at least ``size`` threads."""
        for index in range(self.started, size):
            thread = threading.Thread(target=self._serve, args=(index,), daemon=True, name="segcaffe-kernel")
            thread.start()
            self._numbers.append(thread.native_id or 0)
        self.started = max(self.started, size)

    def give(self, job: _Job, helpers: int) -> None:
        """Ask for that many helpers."""
        if self.team.sleepers:
            self._placing.keep_away(self._numbers)
        for _ in range(helpers):
            self.jobs.put(job)
        self.bell[0] += 1
        self.team.ring()

    def prepare_to_wake(self) -> None:
        """Do what is to be done before `Team.play` wakes helpers who sleep."""
        self._placing.keep_away(self._numbers)
        for _ in range(0 if self.team.sleeps else self.team.sleepers):
            self.jobs.put(None)

    def watch(self, cell: np.ndarray[Any, Any], old: int, settling: float) -> int:
        """Wait for ``cell[0]`` to change, and ``settling`` microseconds more; not where threads outnumber cores."""
        if num_threads() > _usable_cores():
            return int(cell[0])
        return int(self._watch(cell, old, int(WATCH * self._per_microsecond), int(settling * self._per_microsecond)))

    def _serve(self, index: int) -> None:
        seat = index + 1
        seats.take(seat)
        settling = int((_CALLER_LEAVES + index * _HELPER_LEAVES) * self._per_microsecond)
        while True:
            # In this order, a job put in between is seen by one or the other.
            rung = int(self.bell[0])
            # Of more helpers than there are to be threads the same ones work each time, on the same workspace.
            wanted = seat < num_threads() or not self.team.sleeps
            called = (wanted and not self.jobs.empty()) or self._attend(seat, rung, settling) != rung
            job = self._next(sleeps=not (called or self.team.sleeps)) if wanted else None
            if job is not None:
                job.work()

    def _attend(self, seat: int, rung: int, settling: int) -> int:
        """Look for pieces, until the bell rings or nothing is to be done; returns the bell."""
        if num_threads() > _usable_cores():
            return self.team.attend(seat, rung, (0, 0, 0))
        return self.team.attend(seat, rung, (self.patience, self._busy, settling))

    def _next(self, sleeps: bool) -> _Job | None:
        """The next job; None where there is none, or the helper is to look for pieces: a pass may just have begun."""
        try:
            if not sleeps or self.team.is_playing:
                return self.jobs.get_nowait()
            self.team.count_sleepers(1)
            try:
                return self.jobs.get()
            finally:
                self.team.count_sleepers(-1)
        except Empty:
            return None


def shared_pool(size: int) -> Pool:
    """The pool, with at least ``size`` threads."""
    global _pool
    if _pool is None or _pool.started < size:
        with _lock:
            if _pool is None:
                _pool = Pool()
            _pool.start(size)
    return _pool


def _after_fork() -> None:
    """A forked child has none of its parent's threads."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()
    _state.__dict__.clear()


@functools.cache
def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
