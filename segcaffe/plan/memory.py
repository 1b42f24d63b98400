"""The memory plan: buffers that never live at the same time share memory.

What is recomputed is chosen first (`recompute.choose`), which gives the order of the work (`schedule.Schedule`); from
it follows when each buffer lives (`schedule.live_ranges`), and from that where it lies (`packing`). What a Concat joins
is made in its place in the result where that saves memory. Buffers that code outside the steps reads or writes stay
out of the plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segcaffe.plan.packing import Item, Slot, pack, place, union
from segcaffe.plan.program import Program
from segcaffe.plan.recompute import choose
from segcaffe.plan.schedule import Schedule, live_ranges, living, usage

PREPARED = "packed"
"""The name of the workspace that holds what follows from parameters alone."""


@dataclass(frozen=True)
class MemoryPlan:
    """Which buffers share memory, and what the net takes in bytes.

    Attributes
    ----------
    slots:
        Memory that several buffers use by turns.
    own, params:
        Bytes of buffers with memory of their own; of parameters, with their gradients if the net learns.
    saved, saved_unshared:
        Bytes that layers save for backward and keep as state, at most at a time; and if nothing saved is given back.
    workspace:
        Bytes of kernels' scratch memory on the CPU, as far as it is known: that of convolutions. It is the process's:
        several nets use the same.
    prepared:
        Of it, bytes that a net which only runs forward keeps for each layer, once its pass is recorded: packed weights.
    schedule:
        The work that the plan is for.
    peak_step:
        The layer and pass at which most memory is in use.
    """

    slots: list[Slot]
    own: int
    params: int
    saved: int
    saved_unshared: int
    workspace: int
    prepared: int
    schedule: Schedule
    peak_step: str

    @property
    def shared(self) -> int:
        """Bytes of the slots."""
        return sum(slot.size for slot in self.slots)

    @property
    def unshared(self) -> int:
        """Bytes that the slots' buffers would take if each had its own memory."""
        return sum(item.size for slot in self.slots for item, _ in slot.places())

    @property
    def total(self) -> int:
        """Bytes the net takes with this plan."""
        return self.shared + self.own + self.params + self.saved

    @property
    def total_unshared(self) -> int:
        """Bytes the net takes if each buffer has its own memory."""
        return self.unshared + self.own + self.params + self.saved_unshared


def make_plan(program: Program, recompute: Sequence[str] = (), one_slot: bool = True) -> MemoryPlan:
    """Plan the memory of a program.

    Parameters
    ----------
    recompute:
        Layers whose values are recomputed: names, patterns, or "auto".
    one_slot:
        Whether everything is packed into one piece of memory, or into several that serve one buffer at a time.
    """
    schedule = choose(program, recompute)
    ranges = live_ranges(program, schedule)
    turns = len(schedule.turns)
    items = {
        number: Item(number, buffer.size, ranges[number])
        for number, buffer in enumerate(program.buffers)
        if buffer.kind != "saved" and number not in program.kept and ranges[number]
    }
    _hand_on(program, schedule, items)
    outer = _join(program, items, usage(((item.size, item.ranges) for item in items.values()), turns))
    saved = living(program, ranges, saved=True)
    saved_usage = usage(saved, turns)
    outer_usage = usage(((item.size, item.ranges) for item in outer), turns)
    used = [a + b for a, b in zip(saved_usage, outer_usage, strict=True)]
    state = sum(step.state for step in program.steps)
    return MemoryPlan(
        slots=pack(outer) if one_slot else place(outer),
        own=sum(program.buffers[number].size for number in program.kept),
        params=program.parameters,
        saved=state + max(saved_usage, default=0),
        saved_unshared=state + sum(size for size, _ in saved),
        workspace=_workspace(program),
        prepared=0 if program.learns else sum(step.workspace.get(PREPARED, 0) for step in program.steps),
        schedule=schedule,
        peak_step=_describe(program, schedule, used),
    )


def _hand_on(program: Program, schedule: Schedule, items: dict[int, Item]) -> None:
    """Let one of the bottoms' gradients that equal the top's be the top's, which nothing needs afterwards.

    Of several bottoms one alone: who has it may write to it. What was handed on is taken out of ``items``.
    """
    holders: dict[int, Item] = {}
    for now, (kind, index) in enumerate(schedule.turns):
        for number, top in program.steps[index].hands_on if kind == "backward" else ():
            part, whole = items.get(number), holders.get(top, items.get(top))
            if part is None or whole is None or part.size != whole.size:
                continue
            if part.first == whole.last == now:
                whole.ranges = union(whole.ranges, part.ranges)
                whole.parts.append((part, 0))
                holders[number] = whole
                del items[number]
                break


def _join(program: Program, items: dict[int, Item], used: Sequence[int]) -> list[Item]:
    """Put what a step joins inside its result where less is in use at a time for it; return the items to place.

    ``used`` says how many bytes are in use at each turn if each item lies by itself.
    """
    inside: set[int] = set()
    now = np.array(used, np.int64)
    last_written = {number: i for i, step in enumerate(program.steps) if step.writes for number in step.tops}
    for i, step in enumerate(program.steps):
        whole = items.get(step.tops[0]) if step.joins else None
        for number, offset in step.joins:
            part = items.get(number)
            if whole is None or part is None or number in inside or not _fits(i, part, whole, last_written):
                continue
            ranges = union(whole.ranges, part.ranges)
            joined = now.copy()
            for size, changed in ((-whole.size, whole.ranges), (whole.size, ranges), (-part.size, part.ranges)):
                for first, last in changed:
                    joined[first : last + 1] += size
            if joined.max() <= now.max():
                now, whole.ranges = joined, ranges
                whole.parts.append((part, offset))
                inside.add(number)
    rest = [item for key, item in items.items() if key not in inside]
    return sorted(rest, key=lambda item: item.ranges[0][0])


def _fits(index: int, part: Item, whole: Item, last_written: Mapping[int, int]) -> bool:
    """Whether a bottom of step ``index``, with what lies in it, may lie in its top, never different from it."""
    if part is whole or part.last > whole.last:
        return False
    return part.last <= index or max(last_written.get(item.number, -1) for item in (part, whole)) <= index


def _workspace(program: Program) -> int:
    """Bytes of kernels' scratch memory: of each name as much as the step takes that takes most."""
    most: dict[str, int] = {}
    for step in program.steps:
        most.update({name: max(most.get(name, 0), size) for name, size in step.workspace.items()})
    return sum(most.values())


def _describe(program: Program, schedule: Schedule, used: Sequence[int]) -> str:
    """The layer and pass of the first turn at which most is in use."""
    if not schedule.turns:
        return "(no layers)"
    kind, step = schedule.turns[used.index(max(used))]
    return f"{program.steps[step].name} ({kind})"
