"""Work of kernels told as calls: computed at once, and kept where the thread is recording.

Work that one thread does is recorded as its calls with their arguments, of which `segcaffe.jit.stretch` makes one call.
What is worth several threads is recorded as its pieces, each as the calls that every one of these threads would make;
they take pieces when it is played (`segcaffe.threads.together`). Handing over costs less then than in `parallel.run`,
so that smaller work is divided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from segcaffe.threads import parallel
from segcaffe.threads.recording import Call, Divided, Tape, nothing, recording, tape

Calls = Callable[[int, int], Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]]
"""Functions and arguments that do a range of the work, one after the other; asked for by the thread that calls them."""
_FINER = 8
"""By what the grain of recorded work is less."""
_CYCLES = 1e4
"""Recorded work below which a second thread costs more than it saves."""


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
    if parallel.team_size() > 1:
        grain = max(1, grain // _FINER)
    ranges = parallel.serial_ranges(count, grain, blocks)
    if ranges is None:
        with recording(None):
            parallel.run(count, body, grain, blocks)
        pieces = _pieces_of_seats(parallel.pieces_of(count, grain, blocks), calls)
        now.calls.append(Divided(parallel.run, (count, body, grain, blocks), pieces))
        return
    for start, stop in ranges:
        for function, arguments in calls(start, stop):
            function(*arguments)
            now.calls.append(Call(function, arguments))


def _pieces_of_seats(ranges: Sequence[tuple[int, int]], calls: Calls) -> tuple[tuple[tuple[Call, ...], ...], ...]:
    """For each seat the calls of each range; nothing where threads do not play together, or the calls keep too much."""
    seats, probe = [], Tape()
    for seat in range(parallel.team_size()):
        with parallel.as_helper(seat), recording(probe):
            seats.append(tuple(tuple(Call(*told) for told in calls(*each)) for each in ranges))
    return () if len(seats) == 1 or probe.refused else tuple(seats)


def run_cycles(count: int, cycles: float, calls: Calls) -> None:
    """`run` for work of known cost, divided as `parallel.run_cycles` does."""
    fine = tape() is not None and parallel.team_size() > 1
    division = parallel.division(count, cycles, *((_CYCLES,) if fine else ()))
    if division is None:
        nothing()
    else:
        run(count, calls, *division)


def call(function: Callable[..., Any], *arguments: Any) -> None:
    """Make one call, by the calling thread."""
    run(1, lambda _start, _stop: ((function, arguments),))
