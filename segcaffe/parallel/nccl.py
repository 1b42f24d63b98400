"""Means of arrays on GPUs, by NCCL through CuPy: each process has a GPU, and one has told the others the run's id."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol

from segcaffe import device
from segcaffe.errors import DeviceError
from segcaffe.parallel.group import Array, Group, T, Wait

_INSTALL = (
    "NCCL is not there: pip install nvidia-nccl-cu12 (or nvidia-nccl-cu13, as CuPy is for CUDA 12 or 13) brings it."
)


class Communicator(Protocol):
    """CuPy's `NcclCommunicator`, as far as it is used; pointers and streams are addresses."""

    def allReduce(self, send: int, receive: int, count: int, kind: int, operation: int, stream: int, /) -> None:
        """Put the sum over all processes into ``receive``."""

    def bcast(self, buffer: int, count: int, kind: int, root: int, stream: int, /) -> None:
        """Put what ``root`` has into the buffer of every process."""


def library() -> ModuleType | None:
    """CuPy's module for NCCL; None where CuPy finds no NCCL."""
    module: ModuleType | None = getattr(device.gpu_module().cuda, "nccl", None)
    return module if module is not None and getattr(module, "available", True) else None


def new_id() -> Any:
    """What the processes of a run find each other by; one makes it, all must have it. DeviceError without NCCL."""
    found = library()
    if found is None:
        raise DeviceError(_INSTALL)
    return found.get_unique_id()


class OnGpus:
    """Averages and broadcasts device arrays, on a stream of its own, so that kernels run meanwhile.

    Parameters
    ----------
    rank, size:
        This process's number, and how many there are; each must have chosen its GPU.
    identity:
        What `new_id` gave, to one of them.
    """

    def __init__(self, rank: int, size: int, identity: Any) -> None:
        nccl = library()
        if nccl is None:
            raise DeviceError(_INSTALL)
        self._nccl, self.size = nccl, size
        self._gpu = device.gpu_module()
        self._communicator: Communicator = nccl.NcclCommunicator(size, identity, rank)
        self._stream = self._gpu.cuda.Stream(non_blocking=True)

    def start_average_(self, buffer: Array) -> Wait:
        """Begin to average a flat device array, when what was asked of the GPU so far is done.

        The host does not wait: the result's call has later kernels wait for the mean.
        """
        self._after_kernels()
        address, kind = buffer.data.ptr, self._kind(buffer)
        self._communicator.allReduce(address, address, buffer.size, kind, self._nccl.NCCL_SUM, self._stream.ptr)
        with self._stream:
            buffer *= buffer.dtype.type(1 / self.size)
        return self._before_kernels()

    def broadcast_(self, buffer: Array) -> None:
        """Put what rank 0 has into a flat device array of every rank."""
        self._after_kernels()
        self._communicator.bcast(buffer.data.ptr, buffer.size, self._kind(buffer), 0, self._stream.ptr)
        self._before_kernels()()

    def _after_kernels(self) -> None:
        event = self._gpu.cuda.Event(disable_timing=True)
        event.record(self._gpu.cuda.get_current_stream())
        self._stream.wait_event(event)

    def _before_kernels(self) -> Wait:
        event = self._gpu.cuda.Event(disable_timing=True)
        event.record(self._stream)
        gpu = self._gpu
        return lambda: gpu.cuda.get_current_stream().wait_event(event)

    def _kind(self, buffer: Array) -> int:
        names = {"f": "NCCL_FLOAT32", "d": "NCCL_FLOAT64"}
        return int(getattr(self._nccl, names[buffer.dtype.char]))


class Gpus(Group):
    """Processes of a script that start each other, one for each GPU, and have nothing in common but NCCL's id."""

    def __init__(self, rank: int, size: int, identity: Any) -> None:
        self.rank, self.size = rank, size
        self._gpus = OnGpus(rank, size, identity)

    def start_average_(self, buffer: Array) -> Wait:
        """As `Group.start_average_`, of a device array."""
        return self._gpus.start_average_(buffer)

    def broadcast_(self, buffer: Array) -> None:
        """As `Group.broadcast_`, of a device array."""
        self._gpus.broadcast_(buffer)

    def gather(self, value: T, *, first_only: bool = False) -> list[T]:
        """NCCL moves arrays only."""
        raise DeviceError("Objects are gathered by MPI: start the processes by mpiexec.")
