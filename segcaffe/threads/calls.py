"""Work of kernels told as calls: computed at once, and kept where the thread is recording.

Work that one thread does is recorded as its calls with their arguments, of which `segcaffe.jit.stretch` makes one call;
what is worth several threads is recorded as one call of `parallel.run`, and divided anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from segcaffe.threads import parallel
from segcaffe.threads.recording import Call, nothing, recording, tape

Calls = Callable[[int, int], Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]]
"""Functions and arguments that do a range of the work, one after the other; asked for by the thread that calls them."""


def run(count: int, calls: Calls, grain: int = 1, blocks: int = 0) -> None:
    """Make the calls of disjoint ranges that cover ``range(count)``, several at a time.

    Parameters
    ----------
    count, grain, blocks:
        As of `parallel.run`.
    calls:
        Tells the calls of a range, and computes nothing itself but their arguments.
    """
    now = tape()
    if now is None and blocks == 0 and parallel.parts(count, grain) == 1:
        # Small work: what `parallel.run` would do, without its Python.
        for function, arguments in calls(0, count) if count else ():
            function(*arguments)
        return

    if now is not None and now.scouting:
        now.told += 1
        now.calls += [Call(*told) for told in calls(0, count)] if count else []
        return

    def body(start: int, stop: int) -> None:
        for function, arguments in calls(start, stop):
            function(*arguments)

    if now is None:
        parallel.run(count, body, grain, blocks)
        return
    now.told += 1
    ranges = parallel.serial_ranges(count, grain, blocks)
    if ranges is None:
        now.calls.append(Call(parallel.run, (count, body, grain, blocks)))
        with recording(None):
            parallel.run(count, body, grain, blocks)
        return
    for start, stop in ranges:
        for function, arguments in calls(start, stop):
            function(*arguments)
            now.calls.append(Call(function, arguments))


def run_cycles(count: int, cycles: float, calls: Calls) -> None:
    """`run` for work of known cost, divided as `parallel.run_cycles` does."""
    division = parallel.division(count, cycles)
    if division is None:
        nothing()
    else:
        run(count, calls, *division)


def call(function: Callable[..., Any], *arguments: Any) -> None:
    """Make one call, by the calling thread."""
    run(1, lambda _start, _stop: ((function, arguments),))
