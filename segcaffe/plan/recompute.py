"""Recomputation: training in less memory, for more time.

The values of chosen layers are not kept from the forward to the backward pass but made again, from the nearest kept
ones, when the backward pass comes to them. Results are the same to the bit. Which layers' values are dropped is said
by names, or left to `automatic`, which cuts the net in segments and keeps what crosses the cuts (Chen et al., "Training
Deep Nets with Sublinear Memory Cost", 2016), takes the number of segments that needs least memory, and then looks what
else lies idle where most is in use. Losses, data layers, Python layers and layers with a state never run again.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import TYPE_CHECKING

from segcaffe.errors import GraphError
from segcaffe.net.deferred import DeferredBlob
from segcaffe.plan.memory import find_items, fixed_buffers, learns
from segcaffe.plan.schedule import Schedule, Unit, backward_reads, find_units, holds, make_schedule

if TYPE_CHECKING:
    from segcaffe.net.net import Net

AUTO = "auto"
_SEGMENTS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 28, 34, 40)
_TRIALS = 200
"""How many ways of dropping one more unit `automatic` tries."""


def names_of(text: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names and patterns, from a list of them or a text with commas."""
    parts = text.split(",") if isinstance(text, str) else text or ()
    return tuple(part.strip() for part in parts if part.strip())


def plan_steps(net: Net, names: Sequence[str]) -> Schedule:
    """The schedule of a net for its present shapes; ``names`` are layers, patterns such as ``conv*``, or "auto"."""
    if not names or not learns(net):
        return make_schedule(net, learns(net))
    units = Units(net)
    if AUTO in names:
        return automatic(net, units)
    return units.without(_named(net, units.all, names))


class Units:
    """The units of a net, and which of them must be made again if others are."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.all = find_units(net, fixed_buffers(net, "data"))
        self.by_buffer = {buffer: unit for unit in self.all for buffer in unit.buffers}
        runs = [i for i in range(len(net.layer_list)) if net.layer_needs_backward[i]]
        self.read_backward: set[int] = set().union(*(backward_reads(net, i) for i in runs))

    def without(self, chosen: Iterable[Unit]) -> Schedule:
        """The schedule in which the chosen units are dropped.

        So are those that they are made from, as long as no backward pass reads these: they would have to live longer.
        """
        dropped: dict[int, Unit] = {}
        waiting = list(chosen)
        while waiting:
            unit = waiting.pop()
            if unit.layers[0] in dropped:
                continue
            dropped[unit.layers[0]] = unit
            sources = {buffer: self.by_buffer[buffer] for buffer in unit.sources if buffer in self.by_buffer}
            waiting += [s for s in sources.values() if s.droppable and not s.buffers & self.read_backward]
        return make_schedule(self.net, True, dropped.values())


def automatic(net: Net, units: Units) -> Schedule:
    """The schedule that needs least memory of those with some number of segments, dropping more while that helps."""
    estimate = Estimate(net)
    choices: list[list[Unit]] = [[], *(_outside(units.all, _cuts(net, units.all, count)) for count in _SEGMENTS)]
    best = min(choices, key=lambda chosen: estimate.most(units.without(chosen))[0])
    return min((_drop_more(units, estimate, start) for start in ([], best)), key=lambda s: estimate.most(s)[0])


def _drop_more(units: Units, estimate: Estimate, chosen: list[Unit]) -> Schedule:
    """Drop what lies idle where most memory is in use, the largest first, as long as that lowers the peak."""
    best = units.without(chosen)
    needed, idle = estimate.most(best)
    trials = _TRIALS
    while trials and idle:
        unit = units.by_buffer[idle.pop(0)]
        if not unit.droppable or unit in chosen:
            continue
        trials -= 1
        schedule = units.without([*chosen, unit])
        most, others = estimate.most(schedule)
        if most < needed:
            best, chosen, needed, idle = schedule, [*chosen, unit], most, others
    return best


class Estimate:
    """How much memory of blobs and of what layers keep is in use at a time, for any schedule of a net."""

    def __init__(self, net: Net) -> None:
        self.net = net
        every = make_schedule(net, True)
        self.sizes: dict[int, int] = {}
        self.touched: list[list[int]] = [[] for _ in net.layer_list]
        self.read: list[list[int]] = [[] for _ in net.layer_list]
        fixed = fixed_buffers(net, "data")
        for i, blobs in enumerate(zip(net.bottom_blobs, net.top_blobs, strict=True)):
            for blob in (*blobs[0], *blobs[1]):
                key = id(blob.buffer("data"))
                if key not in fixed and not isinstance(blob, DeferredBlob):
                    self.sizes[key] = max(self.sizes.get(key, 0), blob.count * blob.dtype.itemsize)
                    self.touched[i].append(key)
            if net.layer_needs_backward[i]:
                self.read[i] = [key for key in backward_reads(net, i) if key in self.sizes]
        self.held = [holds(net, i) for i in range(len(net.layer_list))]
        itemsize = net.dtype.itemsize
        self.gradients = [
            (2 * len(net.layer_list) - 1 - first, 2 * len(net.layer_list) - 1 - last, item.size * itemsize)
            for item in find_items(net, every)
            if item.side == "diff"
            for first, last in item.spans
        ]
        """For each gradient the layers whose backward passes begin and end its life, and its bytes."""

    def most(self, schedule: Schedule) -> tuple[int, list[int]]:
        """The most bytes in use at a time, and the buffers that nobody uses then, the largest first."""
        spans, back = self._spans(schedule)
        events = [(first, last, self.sizes[key]) for key, several in spans.items() for first, last in several]
        events += [(back[first], back[last], size) for first, last, size in self.gradients]
        events += self._passing(schedule, back)
        change = [0] * (len(schedule.steps) + 1)
        for first, last, size in events:
            change[first] += size
            change[last + 1] -= size
        used = list(accumulate(change))
        peak = max(range(len(used)), key=used.__getitem__)
        idle = [key for key, several in spans.items() if any(a < peak < b for a, b in several)]
        stays = sum(size for i, size in enumerate(self.held) if i not in schedule.forgets)
        return used[peak] + stays, sorted(idle, key=lambda key: -self.sizes[key])

    def _spans(self, schedule: Schedule) -> tuple[dict[int, list[list[int]]], dict[int, int]]:
        """For each buffer of values the spans of its life; for each layer the step of its backward pass."""
        spans: dict[int, list[list[int]]] = {}
        back: dict[int, int] = {}
        for time, (kind, i) in enumerate(schedule.steps):
            if kind == "backward":
                back[i] = time
            for key in self.read[i] if kind == "backward" else self.touched[i]:
                several = spans.setdefault(key, [])
                if not several or (kind != "forward" and len(several) == 1 and key in schedule.dropped):
                    several.append([time, time])
                several[-1][1] = time
        return spans, back

    def _passing(self, schedule: Schedule, back: dict[int, int]) -> list[tuple[int, int, int]]:
        """What layers keep for a while: when, and how much."""
        found = [(i, i, self.held[i]) for i in schedule.forgets]
        again = {i: time for time, (kind, i) in enumerate(schedule.steps) if kind == "again" and i in schedule.forgets}
        return found + [(time, max(time, back[i]), self.held[i]) for i, time in again.items()]


def _cuts(net: Net, units: Sequence[Unit], count: int) -> list[int]:
    """Layers after which the net is cut in segments of about equal memory, where little crosses."""
    size = len(net.layer_list)
    made, crossing = [0] * size, [0] * (size + 1)
    for unit in units:
        made[unit.layers[0]] += unit.bytes
        for i in range(unit.layers[-1], max(unit.last_reader, unit.layers[-1])):
            crossing[i] += unit.bytes
    total, so_far = sum(made), 0
    place: list[int] = []
    for i in range(size):
        so_far += made[i]
        if total and so_far * count >= total * (len(place) + 1) and len(place) < count - 1:
            place.append(i)
    reach = max(1, size // (3 * count))
    return [min(range(max(0, i - reach), min(size, i + reach + 1)), key=lambda j: crossing[j]) for i in place]


def _outside(units: Sequence[Unit], cuts: Sequence[int]) -> list[Unit]:
    """Units that cross no cut; those of the last segment stay, as the backward pass begins there."""
    end = max(cuts, default=-1)
    return [
        unit
        for unit in units
        if unit.droppable
        and unit.layers[-1] <= end
        and not any(unit.layers[0] <= cut < max(unit.layers[-1], unit.last_reader) for cut in cuts)
    ]


def _named(net: Net, units: Sequence[Unit], names: Sequence[str]) -> list[Unit]:
    """Units whose first layers match a name; GraphError for a name that nothing matches or that cannot be meant."""
    layers = [layer.name for layer in net.layer_list]
    for name in names:
        if not any(fnmatchcase(layer, name) for layer in layers):
            near = difflib.get_close_matches(name, layers, n=2, cutoff=0.6)
            hint = " Did you mean " + " or ".join(f'"{other}"' for other in near) + "?" if near else ""
            raise GraphError(f'recompute: no layer is called "{name}".{hint or " `segcaffe net` lists the layers."}')
    chosen = [unit for unit in units if _is_named(net, unit, names)]
    for unit in chosen:
        layer = net.layer_list[unit.layers[0]]
        if not unit.droppable and layer.name in names:
            raise GraphError(
                f"recompute: {layer.where} cannot be computed again: its values come from outside or are those of a "
                "loss, an output, or a layer with a state. Leave it out."
            )
    dropped = [unit for unit in chosen if unit.droppable]
    if not dropped:
        raise GraphError(
            f"recompute: {', '.join(names)} names no layer whose values can be computed again. Layers that work in "
            "place go with the layer that makes the blob: name that one."
        )
    return dropped


def _is_named(net: Net, unit: Unit, names: Sequence[str]) -> bool:
    """Whether a layer that makes the unit's memory, rather than works on it in place, is meant."""
    for i in unit.writers:
        bottoms = [id(blob) for blob in net.bottom_blobs[i]]
        in_place = all(id(blob) in bottoms for blob in net.top_blobs[i])
        if not in_place and any(fnmatchcase(net.layer_list[i].name, name) for name in names):
            return True
    return False
