"""Seats: which of the threads that work together a thread is, or tells calls for.

A caller has seat 0, the helpers of the pool have seats 1 and on. Workspace belongs to a seat: whoever tells the calls
that a helper may make takes the helper's seat meanwhile, so that they write to the helper's workspace.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_state = threading.local()
_memory: dict[int, dict[str, Any]] = {}
"""Of the helpers' seats, which there are once in a process."""


def seat() -> int:
    """The calling thread's seat."""
    return int(getattr(_state, "seat", 0))


def take(number: int) -> None:
    """Have a seat from now on."""
    _state.seat = number


@contextmanager
def taken(number: int) -> Iterator[None]:
    """Have a seat for a while."""
    before = seat()
    take(number)
    try:
        yield
    finally:
        take(before)


def memory() -> dict[str, Any]:
    """What is kept for the calling thread's seat, by name: a caller's is its own."""
    number = seat()
    if number:
        return _memory.setdefault(number, {})
    kept: dict[str, Any] = _state.__dict__.setdefault("memory", {})
    return kept
