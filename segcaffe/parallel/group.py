"""What processes that work together do in common, and the process that works alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

Array = Any
Wait = Callable[[], None]
"""Returns when what was begun is done."""
T = TypeVar("T")


class Options(NamedTuple):
    """What a user may choose of how processes train together.

    Attributes
    ----------
    divide_batch:
        Whether ``batch_size`` in the file is that of all ranks together, as in NVIDIA's Caffe, and not of each.
    share_tests:
        Whether the batches of a test are shared out over the ranks, and not all run by rank 0.
    valid_over_all:
        Whether losses that are divided by the number of valid labels take its mean over the ranks.
    whole_batches:
        Whether ranks take whole batches in turn of whatever data there are, so that together they are one pass over it.
    """

    divide_batch: bool = False
    share_tests: bool = False
    valid_over_all: bool = False
    whole_batches: bool = False


class Group(ABC):
    """Processes that work together, each with its ``rank`` from 0 up to ``size`` - 1.

    All of them call the same methods, in the same order, with buffers of the same length and type: flat, contiguous
    arrays on the host or on the device.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """The number among the ranks of this machine."""
    core_sharers: int = 1
    """How many ranks, this one included, have the same cores of one machine, unless the launcher has parted those."""
    connected: bool = True
    """Whether the other processes can be reached; otherwise nothing but rank and size is known."""
    options: Options = Options()
    gone: str = ""
    """Which rank has done its work, as a name for sentences; "" as long as none has."""

    @abstractmethod
    def start_average_(self, buffer: Array) -> Wait:
        """Begin to put the mean over all ranks into the buffer, which is nobody's until the result has been called."""

    @abstractmethod
    def broadcast_(self, buffer: Array) -> None:
        """Put what rank 0 has into the buffer of every rank."""

    @abstractmethod
    def gather(self, value: T, *, first_only: bool = False) -> list[T]:
        """The values of all ranks, in their order, on every rank or the first only; they are pickled on the way."""

    def end(self) -> None:
        """Return when all ranks have done their work and called this."""
        self.gather(None)

    def average_(self, buffer: Array) -> None:
        """Put the mean over all ranks into the buffer: the same bits everywhere."""
        self.start_average_(buffer)()

    def average_of(self, value: float) -> float:
        """The mean of a number over all ranks."""
        return sum(self.gather(value)) / self.size

    def own(self, items: Sequence[T]) -> Sequence[T]:
        """Every ``size``-th of the items, from that of the rank's number on."""
        return items[self.rank :: self.size] if self.joint else items

    def from_first(self, value: T) -> T:
        """What rank 0 has, on every rank."""
        return self.gather(value if self.is_first else None)[0]  # type: ignore[return-value]

    @property
    def is_first(self) -> bool:
        """Whether this rank tests, logs and saves."""
        return self.rank == 0

    @property
    def joint(self) -> bool:
        """Whether there are other processes, and they can be reached."""
        return self.size > 1 and self.connected


class Alone(Group):
    """A process by itself; or one of several whose script brings them together, and says only how many there are."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.connected = size == 1

    def start_average_(self, buffer: Array) -> Wait:
        """Nothing to do: the mean of one."""
        return _nothing

    def broadcast_(self, buffer: Array) -> None:
        """Nothing to do."""

    def gather(self, value: T, *, first_only: bool = False) -> list[T]:
        """The one value."""
        return [value]

    def average_of(self, value: float) -> float:
        """The number itself."""
        return value


def _nothing() -> None:
    """What there is to wait for where nothing was begun."""


_current: list[Group] = [Alone()]


def group() -> Group:
    """The processes that this one works with."""
    return _current[-1]


@contextmanager
def use(joined: Group) -> Iterator[Group]:
    """While it lasts work with the processes of ``joined``."""
    _current.append(joined)
    try:
        yield joined
    finally:
        _current.remove(joined)


def declare(rank: int, size: int) -> None:
    """Say which of several processes this is, where a script brings them together by itself."""
    _current[0] = Alone(rank, size)
