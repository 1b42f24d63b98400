"""What a thread runs, written down as calls so that it can be repeated without the Python that prepared it.

A `Tape` holds the calls of what kernels did (see `segcaffe.threads.calls`). Playing it does the same work on the same
arrays again. What ran while it was recorded and told of no calls cannot be repeated: a tape on which nobody told
anything is incomplete, and so is one after `parallel.run`, after a kernel that told nothing, and after `refuse`. What
an incomplete tape belongs to runs as it always does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

_state = threading.local()


class Call(NamedTuple):
    """A function, compiled or not, with all of its arguments."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Divided(NamedTuple):
    """Work that is divided among threads.

    Attributes
    ----------
    function, arguments:
        What does it all.
    seats:
        For each thread that may take part (`segcaffe.threads.seats`) the calls that make up each piece of the work,
        pieces in order; empty where it is not known.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    seats: tuple[tuple[tuple[Call, ...], ...], ...]


class Tape:
    """What a thread recorded.

    Attributes
    ----------
    calls:
        In the order in which they were made.
    held:
        Bytes of what was prepared for them, once.
    told:
        How often someone told what was done.
    refused:
        Whether something was done that cannot be repeated.
    scouting:
        Whether calls are told only, and none is made.
    """

    scouting = False

    def __init__(self) -> None:
        self.calls: list[Call | Divided] = []
        self.held = 0
        self.told = 0
        self.refused = False

    @property
    def complete(self) -> bool:
        """Whether the calls are all that ran."""
        return self.told > 0 and not self.refused

    def watch(self, kernel: Callable[..., None], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Run a kernel; one that tells nothing cannot be repeated."""
        before = self.told
        kernel(*arguments, **options)
        self.refused |= self.told == before


class UnknownError(Exception):
    """What a kernel does cannot be told without doing it."""


class Scout(Tape):
    """The calls that kernels would make, told and not made.

    Kernels get arrays of zeros in place of those that they are given, so that one which does not tell its calls, and
    runs, writes to nothing that matters. One that divides work itself raises `UnknownError`.
    """

    scouting = True

    def watch(self, kernel: Callable[..., None], arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Have a kernel tell its calls."""
        made: dict[int, Any] = {}
        kernel(
            *(_stand_in(value, made) for value in arguments),
            **{name: _stand_in(value, made) for name, value in options.items()},
        )


def _stand_in(value: Any, made: dict[int, Any]) -> Any:
    """A value with arrays of zeros for its arrays, equal ones for the same one; memory that nobody has touched."""
    if isinstance(value, (list, tuple)):
        inner = [_stand_in(each, made) for each in value]
        return type(value)(*inner) if hasattr(value, "_fields") else type(value)(inner)
    if not isinstance(value, np.ndarray):
        return value
    if id(value) not in made:
        reach = [(length - 1) * stride for length, stride in zip(value.shape, value.strides, strict=True)]
        before, behind = (sum(each for each in reach if (each > 0) == ahead) for ahead in (False, True))
        memory = np.zeros(behind - before + value.itemsize if value.size else 0, np.uint8)
        made[id(value)] = np.ndarray(value.shape, value.dtype, memory, -before if value.size else 0, value.strides)
    return made[id(value)]


def tape() -> Tape | None:
    """What the thread is recording onto now."""
    return getattr(_state, "tape", None)


@contextmanager
def recording(onto: Tape | None) -> Iterator[None]:
    """Record what the thread runs; with None, leave it out of what the thread is recording."""
    before, _state.tape = tape(), onto
    try:
        yield
    finally:
        _state.tape = before


def refuse() -> None:
    """Say that what runs now cannot be repeated."""
    now = tape()
    if now is not None:
        now.refused = True


def refuse_unless_done() -> None:
    """`refuse`, by work that must be done to know what it is."""
    refuse()
    now = tape()
    if now is not None and now.scouting:
        raise UnknownError


def nothing() -> None:
    """Say that there is nothing to do for arguments like these."""
    now = tape()
    if now is not None:
        now.told += 1
