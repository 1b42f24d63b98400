"""Compiling functions before they are called, several at a time.

Numba compiles one function at a time in a process. Processes beside this one compile into the cache, and this one finds
there what they have made. They read the sources from disk, so that a file belongs to what they compiled, whatever was
edited since this process began.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

Progress = Callable[[int, int], None]
"""Told how many functions of how many are compiled."""

_WORTH_A_PROCESS = 4000
"""Bytes of Python's code that take as long to compile as a process takes to start and compile something itself."""
_progress: list[Progress] = []
_START = (
    "import sys; sys.path[:] = {path!r}; from segcaffe.jit.worker import run; run(sys.stdin.buffer, sys.stdout.buffer)"
)
"""The parent's path, so that both import the same files."""


class Job(NamedTuple):
    """A function of `segcaffe.jit.compiled.njit` and a signature of it that is to be compiled."""

    function: Any
    signature: Any

    @property
    def can_be_sent(self) -> bool:
        """Whether another process finds the function by its place, and keeps what it compiles."""
        from segcaffe.jit.compiled import KEPT, place_of

        place = place_of(self.function.py_func)
        return KEPT.get(place) is self.function and place[0].startswith("segcaffe.")

    @property
    def order(self) -> bytes:
        """What a worker is told."""
        from segcaffe.jit.compiled import place_of

        return pickle.dumps((place_of(self.function.py_func), self.signature))


def jobs(calls: Iterable[tuple[Any, tuple[Any, ...]]], *more: Job) -> list[Job]:
    """What calls, (function, arguments), need that is not compiled yet, and ``more``, each once; the largest first."""
    from segcaffe.jit.dispatcher import KernelDispatcher

    told: list[Job] = []
    for function, given in calls:
        # A call with wrong arguments fails when it is made.
        with suppress(Exception):
            if isinstance(function, KernelDispatcher):
                told.append(Job(function, function.wanted(given)))
    wanted = {(id(job.function), str(job.signature)): job for job in (*more, *told)}
    missing = [job for job in wanted.values() if job.function.is_missing(job.signature)]
    return sorted(missing, key=lambda job: _size(job.function, set()), reverse=True)


def compile_all(missing: list[Job], processes: int) -> None:
    """Compile in this process and in ``processes - 1`` others; returns when all is done that could be.

    What fails is left out: whoever calls the function hears why.
    """
    if not missing:
        return
    queue = _Queue(missing)
    workers: list[_Worker] = []
    try:
        with suppress(OSError):  # There may be no more processes.
            for _ in range(min(processes - 1, _workers_wanted(missing)) if _is_python() else 0):
                workers.append(_Worker(queue))
        queue.work()
        for worker in workers:
            worker.join()
        # What a worker left that ended early.
        queue.work()
    finally:
        for worker in workers:
            worker.stop()


def compiled_here() -> int:
    """How many functions this process has compiled since it began."""
    from segcaffe.jit.compiled import KEPT

    return sum(sum(function._cache_misses.values()) for function in KEPT.values())


@contextmanager
def progress_told(tell: Progress) -> Iterator[None]:
    """While it lasts, have the function told how far compiling has come."""
    _progress.append(tell)
    try:
        yield
    finally:
        _progress.remove(tell)


class _Queue:
    """The jobs that nobody has begun."""

    def __init__(self, missing: list[Job]) -> None:
        self._left, self._lock = list(missing), threading.Lock()
        self._done, self._count = 0, len(missing)
        self._tell()

    def take(self, to_send: bool = False) -> Job | None:
        """The first one left, or the first that can be sent to another process; None where there is none."""
        with self._lock:
            index = next((i for i, job in enumerate(self._left) if not to_send or job.can_be_sent), None)
            return None if index is None else self._left.pop(index)

    def work(self) -> None:
        """Compile in this process until none is left."""
        while (job := self.take()) is not None:
            with suppress(Exception):
                job.function.compile(job.signature)
            self.note_done()

    def give_back(self, job: Job) -> None:
        """Leave a job to others."""
        with self._lock:
            self._left.append(job)

    def note_done(self) -> None:
        """Count a job that is done."""
        with self._lock:
            self._done += 1
            self._tell()

    def _tell(self) -> None:
        for tell in _progress:
            tell(self._done, self._count)


class _Worker(threading.Thread):
    """A process that compiles, and the thread that gives it job after job."""

    def __init__(self, queue: _Queue) -> None:
        super().__init__(daemon=True)
        self._queue = queue
        command = [sys.executable, "-c", _START.format(path=sys.path)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.start()

    def run(self) -> None:
        """Give the process jobs until none are left, or it ends."""
        orders, answers = self._process.stdin, self._process.stdout
        assert orders is not None
        assert answers is not None
        while (job := self._queue.take(to_send=True)) is not None:
            try:
                orders.write(job.order)
                orders.flush()
                answered = answers.read(1)
            except Exception:  # It has ended; or a signature of this process's alone, which cannot be told.
                answered = b""
            if not answered:
                self._queue.give_back(job)
                return
            self._queue.note_done()

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self.join()
        with self._process:
            """Closes its pipes and waits."""


def _is_python() -> bool:
    """Whether the running program is one that takes Python's code, and no other in which Python is contained."""
    name = Path(sys.executable or "").stem.lower()
    return name.startswith(("python", "pypy")) and not getattr(sys, "frozen", False)


def _workers_wanted(missing: list[Job]) -> int:
    """How many processes beside this one save more time than it takes to start them; none where nothing is kept."""
    from segcaffe.jit import cache_folder

    folder = cache_folder.folder()
    if folder is None or not os.access(folder, os.W_OK):
        return 0
    total = sum(_size(job.function, set()) for job in missing)
    return min(total // _WORTH_A_PROCESS, sum(job.can_be_sent for job in missing) - 1)


def _size(function: Any, seen: set[int]) -> int:
    """Bytes of Python's code of a function and of all that it calls, which its time to compile goes by."""
    seen.add(id(function))
    code, names = function.py_func.__code__, function.py_func.__globals__
    called = (names.get(name) for name in code.co_names)
    inner = (each for each in called if hasattr(each, "py_func") and id(each) not in seen)
    return len(code.co_code) + sum(_size(each, seen) for each in inner if id(each) not in seen)
