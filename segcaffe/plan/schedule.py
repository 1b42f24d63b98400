"""The order of a net's work: every layer forward, every layer backward, and what runs again in between.

Values that are not kept are made anew by running the layers that made them once more. What runs again together is a
`Unit`: a layer, those that work in place on its tops, and those that only share its memory, since only after the last
of them has the memory the values that others read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from segcaffe.layers.memory import LayerMemory
from segcaffe.net.deferred import DeferredBlob

if TYPE_CHECKING:
    from segcaffe.net.net import Net

Kind = Literal["forward", "again", "backward"]


class Step(NamedTuple):
    """One layer's turn."""

    kind: Kind
    layer: int


@dataclass
class Unit:
    """Layers that fill the same memory, in order.

    Attributes
    ----------
    writers:
        Those of the layers that write values, rather than share them.
    buffers:
        Identities of the buffers.
    sources:
        Identities of other buffers that the layers read.
    last_reader:
        The last layer of others that reads the values forward; -1 if none does.
    bytes:
        What the values and what the layers keep (`LayerMemory.saved`) take.
    droppable:
        Whether the values can be computed again.
    """

    layers: list[int] = field(default_factory=list)
    writers: list[int] = field(default_factory=list)
    buffers: set[int] = field(default_factory=set)
    sources: set[int] = field(default_factory=set)
    last_reader: int = -1
    bytes: int = 0
    droppable: bool = False


@dataclass
class Schedule:
    """The steps of one pass forward and, where the net learns, backward.

    Attributes
    ----------
    dropped:
        Identities of the buffers whose values are not kept from forward to backward.
    forgets:
        Layers that give back what they keep as soon as they have run, and after their backward pass.
    """

    steps: list[Step]
    dropped: set[int] = field(default_factory=set)
    forgets: set[int] = field(default_factory=set)

    def again(self) -> dict[int, list[int]]:
        """For layers that run backward, the layers that run again before it, in order."""
        result: dict[int, list[int]] = {}
        waiting: list[int] = []
        for kind, layer in self.steps:
            if kind == "again":
                waiting.append(layer)
            elif kind == "backward" and waiting:
                result[layer], waiting = waiting, []
        return result


def make_schedule(net: Net, backward: bool, dropped: Iterable[Unit] = ()) -> Schedule:
    """The schedule of a net whose ``dropped`` units are not kept."""
    count = len(net.layer_list)
    steps = [Step("forward", i) for i in range(count)]
    if not backward:
        return Schedule(steps, forgets={i for i in range(count) if holds(net, i)})
    by_buffer = {buffer: unit for unit in dropped for buffer in unit.buffers}
    forgets = {i for unit in by_buffer.values() for i in unit.writers if holds(net, i)}
    fresh: set[int] = set()
    for i in reversed(range(count)):
        if by_buffer and net.layer_needs_backward[i]:
            needed = backward_reads(net, i)
            if i in forgets:
                needed |= {id(blob.buffer("data")) for blob in net.top_blobs[i]}
            steps += [Step("again", j) for j in _missing(needed, by_buffer, fresh)]
        steps.append(Step("backward", i))
    return Schedule(steps, set(by_buffer), forgets)


def _missing(needed: set[int], by_buffer: dict[int, Unit], fresh: set[int]) -> list[int]:
    """The layers that must run again for the needed buffers, in the order in which they ran."""
    layers: list[int] = []
    waiting = list(needed)
    while waiting:
        unit = by_buffer.get(waiting.pop())
        if unit is not None and not unit.buffers <= fresh:
            fresh |= unit.buffers
            layers += unit.writers
            waiting += unit.sources
    return sorted(layers)


def backward_reads(net: Net, i: int) -> set[int]:
    """Identities of the buffers whose values layer ``i`` reads in its backward pass."""
    known = memory_of(net, i)
    blobs = [
        *(net.bottom_blobs[i] if known.reads_bottoms else ()),
        *(net.top_blobs[i] if known.reads_tops else ()),
    ]
    return {id(blob.buffer("data")) for blob in blobs if not isinstance(blob, DeferredBlob)}


def holds(net: Net, i: int) -> int:
    """Bytes that layer ``i`` keeps after its forward pass and can give back."""
    return memory_of(net, i).saved


def memory_of(net: Net, i: int) -> LayerMemory:
    """What layer ``i`` tells about its memory."""
    return net.layer_list[i].memory(net.bottom_blobs[i], net.top_blobs[i], net.layer_needs_backward[i])


def find_units(net: Net, fixed: set[int]) -> list[Unit]:
    """Divide the layers that make blobs into units, in order; those that fill ``fixed`` buffers are kept."""
    units: dict[int, Unit] = {}
    for i, tops in enumerate(net.top_blobs):
        if not tops:
            continue
        unit = _unit_of(units, {id(blob.buffer("data")) for blob in tops})
        unit.layers.append(i)
        bottoms = {id(blob): id(blob.buffer("data")) for blob in net.bottom_blobs[i]}
        unit.sources.update(bottoms.values())
        if any(id(blob) in bottoms or id(blob.buffer("data")) not in bottoms.values() for blob in tops):
            unit.writers.append(i)
    found = {id(unit): unit for unit in units.values()}.values()
    readers: dict[int, list[int]] = {}
    for i, blobs in enumerate(net.bottom_blobs):
        for blob in blobs:
            readers.setdefault(id(blob.buffer("data")), []).append(i)
    for unit in found:
        outside = {i for buffer in unit.buffers for i in readers.get(buffer, ())} - set(unit.layers)
        _describe(net, unit, outside, fixed)
    return sorted(found, key=lambda unit: unit.layers[0])


def _unit_of(units: dict[int, Unit], buffers: set[int]) -> Unit:
    """The one unit of some buffers, joined from those that had part of them."""
    unit = Unit(buffers=set(buffers))
    for old in {id(units[key]): units[key] for key in buffers if key in units}.values():
        unit.layers += old.layers
        unit.writers += old.writers
        unit.buffers |= old.buffers
        unit.sources |= old.sources
    unit.layers.sort()
    unit.writers.sort()
    units.update(dict.fromkeys(unit.buffers, unit))
    return unit


def _describe(net: Net, unit: Unit, readers: set[int], fixed: set[int]) -> None:
    unit.sources -= unit.buffers
    unit.last_reader = max(readers, default=-1)
    blobs = [blob for i in unit.layers for blob in net.top_blobs[i]]
    sizes = {id(blob.buffer("data")): blob.count * blob.dtype.itemsize for blob in blobs}
    unit.bytes = sum(sizes.values()) + sum(holds(net, i) for i in unit.writers)
    # Who reads before the last in-place layer has run saw other values than would be there again.
    settled = bool(unit.writers) and min(readers, default=len(net.layer_list)) > unit.writers[-1]
    repeats = all(memory_of(net, i).recomputes for i in unit.layers)
    deferred = any(isinstance(blob, DeferredBlob) for blob in blobs)
    unit.droppable = settled and repeats and not deferred and not unit.buffers & fixed
