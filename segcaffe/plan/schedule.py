"""The order of a program's work, and when each buffer lives in it.

Steps run forward, where the program learns then backward, and some are recomputed in between: values that were dropped
after the forward pass are made anew by the steps that made them. What is recomputed together is a `Unit`: a step, those
that work in place on its tops, and those that only share its memory, since only after the last of them has the memory
the values that others read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from segcaffe.plan.program import PASSES, Pass, Program

Array = np.ndarray[Any, Any]
Range = tuple[int, int]
"""First and last turn."""


class Turn(NamedTuple):
    """One pass over one step."""

    kind: Pass
    step: int


@dataclass
class Unit:
    """Steps that fill the same memory, in order; buffers and steps are numbers.

    Attributes
    ----------
    writers:
        Those of the steps that write values, rather than share them.
    sources:
        Other buffers that the steps take.
    last_reader:
        The last step of others that reads the values forward; -1 if none does.
    bytes:
        What the values take, and what the steps save.
    droppable:
        Whether the values can be recomputed.
    """

    steps: list[int] = field(default_factory=list)
    writers: list[int] = field(default_factory=list)
    buffers: set[int] = field(default_factory=set)
    sources: set[int] = field(default_factory=set)
    last_reader: int = -1
    bytes: int = 0
    droppable: bool = False


@dataclass(frozen=True)
class Schedule:
    """The turns of one pass forward and, where the program learns, backward.

    Attributes
    ----------
    dropped:
        Buffers whose contents do not stay from forward to backward: values that are recomputed, and what steps save.
    """

    turns: tuple[Turn, ...]
    dropped: frozenset[int] = frozenset()

    def recomputed(self) -> dict[int, list[int]]:
        """For steps that run backward, the steps that are recomputed before, in order."""
        result: dict[int, list[int]] = {}
        waiting: list[int] = []
        for kind, step in self.turns:
            if kind == "recompute":
                waiting.append(step)
            elif kind == "backward" and waiting:
                result[step], waiting = waiting, []
        return result


def make_schedule(program: Program, units: Iterable[Unit] = ()) -> Schedule:
    """The schedule of a program that drops the values of ``units``, and all that is saved if nothing runs backward."""
    steps = program.steps
    turns = [_turn("forward", i) for i in range(len(steps))]
    if not program.learns:
        return Schedule(tuple(turns), frozenset(step.saved for step in steps if step.saved is not None))
    by_buffer = {buffer: unit for unit in units for buffer in unit.buffers}
    writers = {i for unit in by_buffer.values() for i in unit.writers}
    dropped = {*by_buffer, *(saved for i in writers if (saved := steps[i].saved) is not None)}
    fresh: set[int] = set()
    for i in reversed(range(len(steps))):
        step = steps[i]
        if not step.backward:
            continue
        # What was saved comes back with the step's tops.
        needed = step.reads.union(step.tops) if step.saved in dropped else step.reads
        if not by_buffer.keys().isdisjoint(needed):
            turns += [_turn("recompute", j) for j in _missing(needed, by_buffer, fresh)]
        turns.append(_turn("backward", i))
    return Schedule(tuple(turns), frozenset(dropped))


_turn = lru_cache(maxsize=1 << 16)(Turn)
"""One turn serves all schedules: thousands of them are tried."""


def _missing(needed: Iterable[int], by_buffer: dict[int, Unit], fresh: set[int]) -> list[int]:
    """The steps to recompute for the needed buffers, in the order in which they ran; ``fresh`` buffers are there."""
    steps: list[int] = []
    waiting = list(needed)
    while waiting:
        unit = by_buffer.get(waiting.pop())
        if unit is not None and not unit.buffers <= fresh:
            fresh |= unit.buffers
            steps += unit.writers
            waiting += unit.sources
    return sorted(steps)


def live_extents(program: Program, schedule: Schedule) -> tuple[Array, Array]:
    """For each buffer (B, 2) the first and the last turns of the ranges over which it must keep what it holds.

    Values that are recomputed have two: up to their last use forward, and from their recomputation on; so has what is
    saved with them. Kept buffers, and what is saved and not dropped, live all the time. -1 stands for no range.
    """
    numbers, starts = program.uses
    steps, turns = len(program.steps), len(schedule.turns)
    places = {kind: i * steps for i, kind in enumerate(PASSES)}
    rows = np.fromiter((places[kind] + i for kind, i in schedule.turns), np.intp, turns)
    lengths = starts[rows + 1] - starts[rows]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    used = numbers[np.repeat(starts[rows], lengths) + within]
    times, later = (np.repeat(values, lengths) for values in (np.arange(turns), rows >= steps))
    dropped = np.zeros(len(program.buffers), np.bool_)
    dropped[list(schedule.dropped)] = True
    first, last = np.full((2, len(program.buffers), 2), -1)
    at = 2 * used + (later & dropped[used])
    # Of several values for one place the last one stays.
    first.reshape(-1)[at[::-1]] = times[::-1]
    last.reshape(-1)[at] = times
    saved = {step.saved for step in program.steps if step.saved is not None}
    always = [*program.kept, *(saved - schedule.dropped)]
    first[always], last[always] = (0, -1), (max(0, turns - 1), -1)
    return first, last


def live_ranges(program: Program, schedule: Schedule) -> list[list[Range]]:
    """For each buffer the ranges of turns over which it must keep what it holds; see `live_extents`."""
    both = zip(*(extent.tolist() for extent in live_extents(program, schedule)), strict=True)
    return [[(a, b) for a, b in zip(*own, strict=True) if a >= 0] for own in both]


def living(program: Program, ranges: Sequence[list[Range]], saved: bool) -> list[tuple[int, list[Range]]]:
    """Sizes and live ranges of what steps save, or else of values and gradients."""
    both = zip(program.buffers, ranges, strict=True)
    return [(buffer.size, own) for buffer, own in both if (buffer.kind == "saved") == saved]


def usage(alive: Iterable[tuple[int, Sequence[Range]]], turns: int) -> list[int]:
    """How many bytes are in use at each turn, of buffers of known sizes and ranges."""
    change = [0] * (turns + 2)
    for size, ranges in alive:
        for first, last in ranges:
            change[first] += size
            change[last + 1] -= size
    return list(accumulate(change[:turns]))


def find_units(program: Program) -> list[Unit]:
    """Divide the steps that make values into units, in order."""
    units: dict[int, Unit] = {}
    readers: dict[int, list[int]] = {}
    for i, step in enumerate(program.steps):
        for buffer in step.bottoms:
            readers.setdefault(buffer, []).append(i)
        if step.tops:
            unit = _unit_of(units, set(step.tops))
            unit.steps.append(i)
            unit.sources.update(step.bottoms)
            if step.writes:
                unit.writers.append(i)
    found = sorted((unit for buffer, unit in units.items() if buffer == min(unit.buffers)), key=lambda u: u.steps[0])
    for unit in found:
        outside = {i for buffer in unit.buffers for i in readers.get(buffer, ())} - set(unit.steps)
        _describe(program, unit, outside)
    return found


def _unit_of(units: dict[int, Unit], buffers: set[int]) -> Unit:
    """The one unit of some buffers, joined from those that had part of them."""
    joined = Unit(buffers=buffers)
    olds = {unit.steps[0]: unit for buffer in buffers if (unit := units.get(buffer)) is not None}
    for old in olds.values():
        joined.steps += old.steps
        joined.writers += old.writers
        joined.buffers |= old.buffers
        joined.sources |= old.sources
    joined.steps.sort()
    joined.writers.sort()
    units.update(dict.fromkeys(joined.buffers, joined))
    return joined


def _describe(program: Program, unit: Unit, readers: set[int]) -> None:
    steps = program.steps
    unit.sources -= unit.buffers
    unit.last_reader = max(readers, default=-1)
    saved = [number for i in unit.writers if (number := steps[i].saved) is not None]
    unit.bytes = sum(program.buffers[number].size for number in (*unit.buffers, *saved))
    # Who reads before the last in-place layer has run saw other values than would be there again.
    settled = bool(unit.writers) and min(readers, default=len(steps)) > unit.writers[-1]
    recomputes = all(steps[i].recomputes for i in unit.steps)
    unit.droppable = settled and recomputes and not unit.buffers & program.kept
