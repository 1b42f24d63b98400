"""Recomputation: training in less memory, for more time.

The values of chosen steps are not kept from the forward to the backward pass but made again, from the nearest kept
ones, when the backward pass comes to them. Results are the same to the bit. Which layers' values are dropped is said
by names, or left to `automatic`, which cuts the net in segments and keeps what crosses the cuts (Chen et al., "Training
Deep Nets with Sublinear Memory Cost", 2016), takes the number of segments that needs least memory, and then looks what
else lies idle where most is in use. Losses, data layers, Python layers and layers with a state are never recomputed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import numpy as np

from segcaffe.errors import GraphError, did_you_mean
from segcaffe.plan.program import Program
from segcaffe.plan.schedule import Schedule, Unit, find_units, live_extents, make_schedule

AUTO = "auto"
_SEGMENTS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 34, 40)
_STARTS = 3
"""From how many of these choices `automatic` goes on."""
_TRIALS, _STEPS_TRIED = 200, 200_000
"""How many ways of dropping one more unit `automatic` tries; of how many steps in all, where a program has many."""


def names_of(text: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names and patterns, from a list of them or a text with commas."""
    parts = text.split(",") if isinstance(text, str) else text or ()
    return tuple(part.strip() for part in parts if part.strip())


def choose(program: Program, names: Sequence[str]) -> Schedule:
    """The schedule of a program; ``names`` of steps to recompute are layers, patterns such as ``conv*``, or "auto"."""
    if not names or not program.learns:
        return make_schedule(program)
    units = Units(program)
    return automatic(units) if AUTO in names else units.without(_named(program, units.all, names))


class Units:
    """The units of a program, and which of them must be recomputed if others are."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.all = find_units(program)
        self.by_buffer = {buffer: unit for unit in self.all for buffer in unit.buffers}
        self.read_backward = frozenset().union(*(step.reads for step in program.steps if step.backward))
        self._sizes = np.array([buffer.size for buffer in program.buffers], np.int64)
        self._saved = np.array([buffer.kind == "saved" for buffer in program.buffers], np.bool_)

    def without(self, chosen: Iterable[Unit]) -> Schedule:
        """The schedule in which the chosen units are dropped.

        So are those that they are made from, as long as no backward pass reads these: they would have to live longer.
        """
        dropped: dict[int, Unit] = {}
        waiting = list(chosen)
        while waiting:
            unit = waiting.pop()
            if unit.steps[0] not in dropped:
                dropped[unit.steps[0]] = unit
                sources = [self.by_buffer[buffer] for buffer in unit.sources if buffer in self.by_buffer]
                waiting += [s for s in sources if s.droppable and not s.buffers & self.read_backward]
        return make_schedule(self.program, dropped.values())

    def most(self, schedule: Schedule) -> tuple[int, list[int]]:
        """The bytes that are needed, and the values that no step uses where most are in use, the largest first.

        What is saved comes and goes, while values and gradients lie in one arena: the most of both is needed.
        """
        first, last = live_extents(self.program, schedule)
        change = np.zeros((2, len(schedule.turns) + 1), np.int64)
        kinds = self._saved.astype(np.intp)
        for column in range(first.shape[1]):
            alive = np.flatnonzero(first[:, column] >= 0)
            np.add.at(change, (kinds[alive], first[alive, column]), self._sizes[alive])
            np.add.at(change, (kinds[alive], last[alive, column] + 1), -self._sizes[alive])
        used, saved = change.cumsum(axis=1)
        peak = int(used.argmax())
        between = set(np.flatnonzero(((first < peak) & (peak < last)).any(axis=1)).tolist())
        idle = [number for number in self.by_buffer if number in between]
        return int(used[peak] + saved.max()), sorted(idle, key=lambda number: -self.program.buffers[number].size)


def automatic(units: Units) -> Schedule:
    """The schedule that needs least memory of those with some number of segments, dropping more while that helps."""
    cuts = [_cuts(len(units.program.steps), units.all, count) for count in _SEGMENTS]
    choices: list[list[Unit]] = [[], *(_outside(units.all, each) for each in cuts)]
    choices.sort(key=lambda chosen: units.most(units.without(chosen))[0])
    starts = [[], *choices[:_STARTS]]
    return min((_drop_more(units, start) for start in starts), key=lambda schedule: units.most(schedule)[0])


def _drop_more(units: Units, chosen: list[Unit]) -> Schedule:
    """Drop what lies idle where most memory is in use, the largest first, as long as that lowers the peak."""
    best = units.without(chosen)
    needed, idle = units.most(best)
    trials = min(_TRIALS, _STEPS_TRIED // max(1, len(units.program.steps)))
    while trials and idle:
        unit = units.by_buffer[idle.pop(0)]
        if not unit.droppable or unit in chosen:
            continue
        trials -= 1
        schedule = units.without([*chosen, unit])
        most, others = units.most(schedule)
        if most < needed:
            best, chosen, needed, idle = schedule, [*chosen, unit], most, others
    return best


def _cuts(count: int, units: Sequence[Unit], segments: int) -> list[int]:
    """Steps, of ``count``, after which the net is cut in segments of about equal memory, where little crosses."""
    made, crossing = [0] * count, [0] * (count + 1)
    for unit in units:
        made[unit.steps[0]] += unit.bytes
        for i in range(unit.steps[-1], max(unit.last_reader, unit.steps[-1])):
            crossing[i] += unit.bytes
    total, so_far = sum(made), 0
    ideal: list[int] = []
    for i in range(count):
        so_far += made[i]
        if total and so_far * segments >= total * (len(ideal) + 1) and len(ideal) < segments - 1:
            ideal.append(i)
    reach = max(1, count // (3 * segments))
    return [min(range(max(0, i - reach), min(count, i + reach + 1)), key=lambda j: crossing[j]) for i in ideal]


def _outside(units: Sequence[Unit], cuts: Sequence[int]) -> list[Unit]:
    """Units that cross no cut; those of the last segment stay, as the backward pass begins there."""
    end = max(cuts, default=-1)
    return [
        unit
        for unit in units
        if unit.droppable
        and unit.steps[-1] <= end
        and not any(unit.steps[0] <= cut < max(unit.steps[-1], unit.last_reader) for cut in cuts)
    ]


def _named(program: Program, units: Sequence[Unit], names: Sequence[str]) -> list[Unit]:
    """Units whose first steps match a name; GraphError for a name that nothing matches or that cannot be meant."""
    layers = [step.name for step in program.steps]
    for name in names:
        if not any(fnmatchcase(layer, name) for layer in layers):
            hint = did_you_mean(name, layers, 2) or " `segcaffe net` lists the layers."
            raise GraphError(f'recompute: no layer is called "{name}".{hint}')
    # Steps that make a unit's memory, rather than work on it in place.
    matched = {i for i, step in enumerate(program.steps) if any(fnmatchcase(step.name, name) for name in names)}
    makers = {i for i in matched if not program.steps[i].in_place}
    chosen = [unit for unit in units if makers.intersection(unit.writers)]
    for unit in chosen:
        step = program.steps[unit.steps[0]]
        if not unit.droppable and step.name in names:
            raise GraphError(
                f'recompute: layer "{step.name}" ({step.type}) cannot be computed again: its values come from outside '
                "or are those of a loss, an output, or a layer with a state. Leave it out."
            )
    dropped = [unit for unit in chosen if unit.droppable]
    if not dropped:
        raise GraphError(
            f"recompute: {', '.join(names)} names no layer whose values can be computed again. Layers that work in "
            "place go with the layer that makes the blob: name that one."
        )
    return dropped
