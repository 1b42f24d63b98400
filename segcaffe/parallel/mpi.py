"""Processes that MPI has started."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segcaffe import device
from segcaffe.errors import DeviceError
from segcaffe.parallel.group import Array, Group, Options, T, Wait
from segcaffe.parallel.nccl import OnGpus, library, new_id
from segcaffe.threads.parallel import usable_cores

if TYPE_CHECKING:
    from mpi4py import MPI

_log = logging.getLogger("segcaffe")
_NO_GPUS: OnGpus | None = None
_SHORTEST, _LONGEST = 20e-6, 500e-6
"""Seconds between two looks at whether all ranks have come."""
_GRACE = 10.0
"""Seconds after which a rank that has done its work cannot be expected any more: what it took part in has long met."""


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
        self.local_rank, self.core_sharers = self._neighbours()
        self._asked_gpus, self._gpus = False, _NO_GPUS
        self._sum = MPI.SUM
        self._in_place = MPI.IN_PLACE
        # Their own communicator: what one thread calls there must not meet what another calls here.
        self._reducing, self._ending = comm.Dup(), comm.Dup()
        self._thread = _Averager(self) if MPI.Query_thread() == MPI.THREAD_MULTIPLE else None

    def _neighbours(self) -> tuple[int, int]:
        """The number of this rank among those of its machine, and how many of them have its cores."""
        places = self.gather((socket.gethostname(), usable_cores()))
        hosts = [host for host, _ in places]
        return hosts[: self.rank].count(hosts[self.rank]), places.count(places[self.rank])

    def start_average_(self, buffer: Array) -> Wait:
        """As `Group.start_average_`; arrays on GPUs by NCCL, or at once by way of the host where there is none."""
        if not device.is_device_array(buffer):
            return self._begin(buffer)
        gpus = self._on_gpus()
        if gpus is not None:
            return gpus.start_average_(buffer)
        host = device.to_host(buffer)
        self._begin(host)()
        buffer[...] = device.to_device(host)
        return _done

    def _begin(self, buffer: np.ndarray[Any, Any]) -> Wait:
        if self._thread is None:
            self.average_now(buffer)
            return _done
        return self._thread.begin(buffer)

    def average_now(self, buffer: np.ndarray[Any, Any]) -> None:
        """Average here and now, on the communicator that is for it."""
        self._meet(self._reducing)
        self._reducing.Allreduce(self._in_place, buffer, self._sum)
        buffer *= buffer.dtype.type(1 / self.size)

    def broadcast_(self, buffer: Array) -> None:
        """As `Group.broadcast_`."""
        on_device = device.is_device_array(buffer)
        gpus = self._on_gpus() if on_device else None
        if gpus is not None:
            gpus.broadcast_(buffer)
            return
        self._meet(self.comm)
        host = device.to_host(buffer) if on_device else buffer
        self.comm.Bcast(host)
        if host is not buffer:
            buffer[...] = device.to_device(host)

    def _on_gpus(self) -> OnGpus | None:
        """NCCL, joined by all ranks when the first of them needs it; None where one of them has none."""
        if not self._asked_gpus:
            self._asked_gpus = True
            if all(self.gather(library() is not None)):
                self._gpus = OnGpus(self.rank, self.size, self.from_first(new_id() if self.is_first else None))
            elif self.is_first:
                _log.warning("Gradients take the way over the host: not all ranks find NCCL.")
        return self._gpus

    def gather(self, value: T, *, first_only: bool = False) -> list[T]:
        """As `Group.gather`."""
        self._meet(self.comm)
        return list((self.comm.gather(value) or []) if first_only else self.comm.allgather(value))

    def end(self) -> None:
        """As `Group.end`; on a communicator of its own, where nobody meets who still works."""
        for _ in _pauses(self._ending):
            pass

    def _meet(self, comm: MPI.Intracomm) -> None:
        """Return when all ranks have called it; DeviceError where one never will, as it has done its work."""
        since: float | None = None
        for _ in _pauses(comm):
            if not self.gone:
                continue
            since = since or time.monotonic()
            if time.monotonic() - since > _GRACE:
                raise DeviceError(
                    f"This rank waits for {self.gone}, which has done its work. All ranks must take part in the same "
                    "steps to the end: none may leave earlier, by sys.exit() or return."
                )


def _pauses(comm: MPI.Intracomm) -> Iterator[None]:
    """Pauses until all ranks have come to this; the core is free for others meanwhile."""
    request, pause = comm.Ibarrier(), _SHORTEST
    while not request.Test():
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST)
        yield


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
