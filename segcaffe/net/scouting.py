"""Which kernels a net's pass needs, known before it runs: they are compiled several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np

from segcaffe.jit import missed
from segcaffe.net.parts import Step
from segcaffe.net.recorded import PASSES, is_recordable_step
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


def warm_up(steps: Sequence[Step], make_pass: Callable[[], object], processes: int | None) -> int:
    """Compile what a pass needs as far as the layers tell it, and make passes for the rest, until they are recorded.

    ``processes`` compile, None meaning as many as kernels use threads. Returns how many functions were not compiled
    yet.
    """
    # Brings Numba with it.
    from segcaffe.jit import ahead

    missing = ahead.jobs(calls_of(steps))
    ahead.compile_all(missing, processes or parallel.num_threads())
    before = ahead.compiled_here()
    for _ in range(PASSES):
        make_pass()
    return len(missing) + ahead.compiled_here() - before


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
            yield from (call for call in scout.calls if isinstance(call, Call))
