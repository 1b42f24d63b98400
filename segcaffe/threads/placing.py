"""Keeping threads that are woken away from the core of the one that wakes them.

The system may give a thread that wakes up the core of its caller though another core is idle. Linux does so on virtual
machines, whose idle cores it takes for busy with other machines. Both threads then share one core for milliseconds,
until the load is balanced.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Sequence
from contextlib import suppress


class Placing:
    """Says on which cores some threads may run: all of the caller's but the one that it runs on."""

    def __init__(self) -> None:
        self._told = -1, 0

    def keep_away(self, threads: Sequence[int]) -> None:
        """Have threads of this process (by the system's numbers) run elsewhere; nothing where there is one core."""
        find = _current_core()
        if find is None:
            return
        own = find()
        if (own, len(threads)) == self._told:
            return
        self._told = own, len(threads)
        usable = os.sched_getaffinity(0)
        if len(usable) < 2:
            return
        for thread in threads:
            # One that has ended.
            with suppress(OSError):
                os.sched_setaffinity(thread, usable - {own})


@functools.cache
def _current_core() -> Callable[[], int] | None:
    """What tells the calling thread's core; None where the system does not."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        # It takes less time than giving the GIL away would.
        return ctypes.PyDLL(None).sched_getcpu
    except (OSError, AttributeError):
        return None
