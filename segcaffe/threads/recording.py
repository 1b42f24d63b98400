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

_state = threading.local()


class Call(NamedTuple):
    """A function, compiled or not, with all of its arguments."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


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
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
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


def nothing() -> None:
    """Say that there is nothing to do for arguments like these."""
    now = tape()
    if now is not None:
        now.told += 1
