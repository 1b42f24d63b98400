"""Processes that MPI has started."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segcaffe import device
from segcaffe.parallel.group import Array, Group, Options, T, Wait

if TYPE_CHECKING:
    from mpi4py import MPI

_SHORTEST, _LONGEST = 20e-6, 500e-6
"""Seconds between two looks at whether all ranks have come."""


class Mpi(Group):
    """The processes of an MPI communicator.

    No rank is busy while it waits for another: all meet first, with pauses between two looks, and only then call what
    MPI does in a loop that takes a core. Means are computed by a thread of their own where the library allows several
    threads, so that they overlap with what the rank computes meanwhile.

    Parameters
    ----------
    comm:
        An intracommunicator of mpi4py.
    options:
        What the user chose.
    """

    def __init__(self, comm: MPI.Intracomm, options: Options = Options()) -> None:  # noqa: B008
        from mpi4py import MPI

        self.comm, self.options = comm, options
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self._sum = MPI.SUM
        self._in_place = MPI.IN_PLACE
        # Their own communicator: what one thread calls there must not meet what another calls here.
        self._reducing = comm.Dup()
        self._thread = _Averager(self) if MPI.Query_thread() == MPI.THREAD_MULTIPLE else None

    def start_average_(self, buffer: Array) -> Wait:
        """As `Group.start_average_`; an array on a GPU is averaged at once, by way of the host."""
        if device.is_device_array(buffer):
            host = device.to_host(buffer)
            self._wait_for(self._begin(host))
            buffer[...] = device.to_device(host)
            return _done
        return self._begin(buffer)

    def _begin(self, buffer: np.ndarray[Any, Any]) -> Wait:
        if self._thread is None:
            self.average_now(buffer)
            return _done
        return self._thread.begin(buffer)

    @staticmethod
    def _wait_for(wait: Wait) -> None:
        wait()

    def average_now(self, buffer: np.ndarray[Any, Any]) -> None:
        """Average here and now, on the communicator that is for it."""
        meet(self._reducing)
        self._reducing.Allreduce(self._in_place, buffer, self._sum)
        buffer *= buffer.dtype.type(1 / self.size)

    def broadcast_(self, buffer: Array) -> None:
        """As `Group.broadcast_`."""
        meet(self.comm)
        host = device.to_host(buffer) if device.is_device_array(buffer) else buffer
        self.comm.Bcast(host)
        if host is not buffer:
            buffer[...] = device.to_device(host)

    def gather(self, value: T, *, first_only: bool = False) -> list[T]:
        """As `Group.gather`."""
        meet(self.comm)
        return list((self.comm.gather(value) or []) if first_only else self.comm.allgather(value))


def meet(comm: MPI.Intracomm) -> None:
    """Return when all ranks have called it; the core is free for others meanwhile."""
    request, pause = comm.Ibarrier(), _SHORTEST
    while not request.Test():
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST)


def _done() -> None:
    """What there is to wait for where the work is done already."""


class _Work(NamedTuple):
    """A buffer to average."""

    buffer: np.ndarray[Any, Any]
    finished: threading.Event
    errors: list[BaseException]

    def wait(self) -> None:
        """Return when the mean is there; raise what went wrong."""
        self.finished.wait()
        if self.errors:
            raise self.errors[0]


class _Averager:
    """A thread that averages one buffer after the other, in the order in which they were handed in."""

    def __init__(self, group: Mpi) -> None:
        self._group = group
        self._queue: SimpleQueue[_Work] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, buffer: np.ndarray[Any, Any]) -> Wait:
        """Hand in a buffer."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True, name="segcaffe-mpi")
            self._thread.start()
        work = _Work(buffer, threading.Event(), [])
        self._queue.put(work)
        return work.wait

    def _work(self) -> None:
        while True:
            work = self._queue.get()
            try:
                self._group.average_now(work.buffer)
            except BaseException as error:
                work.errors.append(error)
            work.finished.set()
            del work
