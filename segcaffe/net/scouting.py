"""Which kernels a net's pass needs, known before it runs: they are compiled several at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np

from segcaffe.jit import missed
from segcaffe.net.parts import Step
from segcaffe.net.recorded import is_recordable_step
from segcaffe.threads import parallel
from segcaffe.threads.recording import Call, Scout, recording


@contextmanager
def compiling_ahead(steps: Sequence[Step]) -> Iterator[None]:
    """While it lasts: once a kernel must be compiled, compile with it all others that the layers will call."""
    before, missed.listeners.tell = missed.listeners.tell, partial(_compile_all, steps)
    try:
        yield
    finally:
        missed.listeners.tell = before


def compile_kernels(steps: Sequence[Step], processes: int) -> None:
    """Compile what the layers will call, as far as that is known, in so many processes."""
    # Brings Numba with it.
    from segcaffe.jit import ahead

    ahead.compile_all(ahead.jobs(calls_of(steps)), processes)


def _compile_all(steps: Sequence[Step], function: Any, signature: Any) -> None:
    """Compile ahead, now that a pass has found a function missing."""
    if parallel.num_threads() > 1:
        from segcaffe.jit import ahead

        first = ahead.Job(function, signature)
        ahead.compile_all(ahead.jobs(calls_of(steps), first), parallel.num_threads())


def calls_of(steps: Sequence[Step]) -> Iterator[Call]:
    """Calls of kernels' functions that the layers would make, of those that can tell; none is made."""
    for step in steps:
        if is_recordable_step(step):
            scout = Scout()
            # Whatever fails does so again in the pass, which says what and where.
            with recording(scout), np.errstate(all="ignore"), suppress(Exception):
                step.layer.forward(step.bottom, step.top)
            yield from scout.calls
