"""The memory plan: blobs that are never needed at the same time share memory.

Time runs over the steps of a `Schedule`: the layers forward, then backward, some of them again in between. A blob's
values live from the layer that makes them to the last that
reads them, forward or, where the net learns, backward (`LayerMemory.reads_bottoms`); its
gradient lives from the last layer that reads the blob to the one that makes it. Values that are computed again live
twice: as far as forward layers read them, and from when they are made again. What lives at different times may use
one place: see `packing`. What a
Concat joins is made in its place in the result where that saves memory.

Kept out of the plan, because somebody outside the layers writes or reads them: inputs and what data layers make,
outputs, blobs that the net is told to keep, losses, gradients that nobody writes (they must stay zero), and deferred
blobs (which have no memory until they are read).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segcaffe import device
from segcaffe.blob import Blob, Buffer, BufferPart
from segcaffe.layers.base import Layer
from segcaffe.net.deferred import DeferredBlob
from segcaffe.plan.packing import Item, Side, Slot, most_at_once, pack, place, union
from segcaffe.plan.schedule import Kind, Schedule, holds, make_schedule, memory_of
from segcaffe.proto import caffe_pb2

if TYPE_CHECKING:
    from segcaffe.net.net import Net


@dataclass
class MemoryPlan:
    """Which blobs share memory, and what the net takes in bytes.

    Attributes
    ----------
    slots:
        Buffers that several blobs use by turns.
    own, params:
        Bytes of blobs with memory of their own; of parameters, with their gradients if the net learns.
    held, held_unshared:
        Bytes that layers keep for themselves, at most at a time; and with every blob in memory of its own.
    working:
        Bytes of kernels' working memory on the CPU, as far as it is known: that of convolutions. It is the process's:
        several nets use the same.
    schedule:
        The steps that the plan is for.
    peak_step:
        The layer and direction at which most of the slots' memory is in use.
    """

    slots: list[Slot]
    own: int
    params: int
    held: int
    held_unshared: int
    working: int
    itemsize: int
    schedule: Schedule
    peak_step: str

    @property
    def shared(self) -> int:
        """Bytes of the slots."""
        return sum(slot.size for slot in self.slots) * self.itemsize

    @property
    def unshared(self) -> int:
        """Bytes that the slots' blobs would take if each had its own memory."""
        items = [item for slot in self.slots for item in slot.items]
        return sum(item.size + sum(part.size for part, _ in item.parts) for item in items) * self.itemsize

    @property
    def total(self) -> int:
        """Bytes the net takes with this plan."""
        return self.shared + self.own + self.params + self.held

    @property
    def total_unshared(self) -> int:
        """Bytes the net takes if each blob has its own memory."""
        return self.unshared + self.own + self.params + self.held_unshared

    def apply(self) -> None:
        """Give the blobs their shared memory; what they hold is lost."""
        for slot in self.slots:
            buffer = Buffer(slot.size, slot.items[0].blobs[0].dtype)
            for item, start in zip(slot.items, slot.starts, strict=True):
                _assign(item, buffer if item.size == slot.size else BufferPart(buffer, start, item.size))
                for part, inside in item.parts:
                    _assign(part, BufferPart(buffer, start + inside, part.size))

    def undo(self) -> None:
        """Give each item memory of its own again, for its blobs' present shapes; what they hold is lost."""
        for slot in self.slots:
            for item in slot.items:
                for one in (item, *(part for part, _ in item.parts)):
                    size = max(blob.count for blob in one.blobs)
                    _assign(one, Buffer(size, one.blobs[0].dtype))


def _assign(item: Item, buffer: Buffer) -> None:
    for blob in item.blobs:
        blob.use_buffer(item.side, buffer)


def make_plan(net: Net, schedule: Schedule | None = None) -> MemoryPlan:
    """Plan the memory of a net from its present shapes; without a schedule nothing is computed again."""
    schedule = make_schedule(net, learns(net)) if schedule is None else schedule
    sides: tuple[Side, ...] = ("data", "diff") if learns(net) else ("data",)
    items = find_items(net, schedule)
    roots = _join(net, items)
    # On a GPU parts of a buffer would go to and from the host all together.
    slots = pack(roots) if device.get_mode() == "CPU" else place(roots)
    shared = {id(blob.buffer(item.side)) for item in items for blob in item.blobs}
    own, params = _own(net, sides, shared), _params(net)
    held = [known.saved + known.state for known in (memory_of(net, i) for i in range(len(net.layer_list)))]
    stays = sum(held) - sum(holds(net, i) for i in schedule.forgets)
    most = most_at_once([*roots, *_passing(net, schedule)])
    return MemoryPlan(
        slots=slots,
        own=own,
        params=params,
        held=stays + _most_passing(net, schedule),
        held_unshared=sum(held),
        working=_working(net),
        itemsize=net.dtype.itemsize,
        schedule=schedule,
        peak_step=_peak(net, schedule, most[1]),
    )


def learns(net: Net) -> bool:
    """Whether the plan lets the net run backward."""
    return (net.phase != caffe_pb2.TEST or net.graph.force_backward) and any(net.layer_needs_backward)


def find_items(net: Net, schedule: Schedule) -> list[Item]:
    """What may share memory: one item for each buffer of the blobs' values and gradients, with its spans."""
    sides: tuple[Side, ...] = ("data", "diff") if learns(net) else ("data",)
    return [item for side in sides for item in _items(net, side, schedule) if item.size]


def _items(net: Net, side: Side, schedule: Schedule) -> list[Item]:
    fixed = fixed_buffers(net, side)
    items: dict[int, Item] = {}
    for time, kind, index in _uses(net, side, schedule):
        blob = net.blob_list[index]
        key = id(blob.buffer(side))
        if key in fixed or isinstance(blob, DeferredBlob):
            continue
        if key not in items:
            items[key] = Item(net.graph.blob_names[index], side, 0, [(time, time)])
        item = items[key]
        comes_again = side == "data" and key in schedule.dropped and kind != "forward"
        if comes_again and len(item.spans) == 1:
            item.spans.append((time, time))
        item.spans[-1] = (item.spans[-1][0], time)
        item.size = max(item.size, blob.count)
        if not any(blob is other for other in item.blobs):
            item.blobs.append(blob)
    return list(items.values())


def _uses(net: Net, side: Side, schedule: Schedule) -> Iterator[tuple[int, Kind, int]]:
    """When layers read or write each blob's values, or its gradient: step, its kind, blob; in order."""
    for time, (kind, i) in enumerate(schedule.steps):
        node = net.graph.nodes[i]
        if side == "diff":
            if kind == "backward":
                yield from ((time, kind, blob) for blob in (*node.bottoms, *node.tops))
        elif kind != "backward":
            yield from ((time, kind, blob) for blob in (*node.bottoms, *node.tops))
        elif net.layer_needs_backward[i]:
            known = memory_of(net, i)
            yield from ((time, kind, blob) for blob in (node.bottoms if known.reads_bottoms else []))
            yield from ((time, kind, blob) for blob in (node.tops if known.reads_tops else []))


def _passing(net: Net, schedule: Schedule) -> list[Item]:
    """What layers keep for a while and give back."""
    found: dict[int, Item] = {}
    backward = any(kind == "backward" for kind, _ in schedule.steps)
    for time, (kind, i) in enumerate(schedule.steps):
        if i not in schedule.forgets:
            continue
        if i not in found:
            size = holds(net, i) // net.dtype.itemsize
            found[i] = Item(net.graph.nodes[i].name, "data", size, [(time, time)])
        elif kind == "again":
            found[i].spans.append((time, time))
        elif backward and len(found[i].spans) > 1:
            found[i].spans[-1] = (found[i].spans[-1][0], time)
    return list(found.values())


def _most_passing(net: Net, schedule: Schedule) -> int:
    return most_at_once(_passing(net, schedule))[0] * int(net.dtype.itemsize)


def fixed_buffers(net: Net, side: Side) -> set[int]:
    """Buffers that keep their memory to themselves."""
    graph, blobs = net.graph, net.blob_list
    fixed = {id(blobs[i].buffer(side)) for i in (*graph.inputs, *graph.outputs)}
    if side == "data":
        fixed |= {id(blob.buffer(side)) for blob in _readable(net)}
    for node, layer, weights in zip(graph.nodes, net.layer_list, net.loss_weights, strict=True):
        kept = node.tops if layer.source or layer.type == "Parameter" else []
        kept = [*kept, *(top for top, weight in zip(node.tops, weights, strict=True) if weight)]
        fixed.update(id(blobs[i].buffer(side)) for i in kept)
    if side == "diff":
        fixed.update(id(blob.buffer(side)) for blob in _without_gradient(net))
    return fixed


def _readable(net: Net) -> list[Blob]:
    """The blobs that the net was told to keep; for one that is computed when it is read also what it is made from."""
    names = net.graph.blob_names
    waiting = [i for i, name in enumerate(names) if name in net.kept_blobs]
    found: dict[int, Blob] = {}
    while waiting:
        index = waiting.pop()
        if index not in found:
            found[index] = net.blob_list[index]
            if isinstance(found[index], DeferredBlob):
                waiting += net.graph.producer(index).bottoms
    return list(found.values())


def _without_gradient(net: Net) -> list[Blob]:
    """Blobs whose gradient no layer writes whole."""
    written: set[int] = set()
    for i, node in enumerate(net.graph.nodes):
        flags = net.bottom_needs_backward[i] if net.layer_needs_backward[i] else [False] * len(node.bottoms)
        written.update(id(net.blob_list[b].buffer("diff")) for b, flag in zip(node.bottoms, flags, strict=True) if flag)
    return [blob for blob in net.blob_list if id(blob.buffer("diff")) not in written]


def _own(net: Net, sides: tuple[Side, ...], shared: set[int]) -> int:
    """Bytes of the buffers outside the plan that the net fills."""
    sizes: dict[int, int] = {}
    idle = {id(blob.buffer("diff")) for blob in _without_gradient(net)}
    for blob in net.blob_list:
        for side in sides:
            key = id(blob.buffer(side))
            if key not in shared and key not in idle and not isinstance(blob, DeferredBlob):
                sizes[key] = blob.count
    return sum(sizes.values()) * int(net.dtype.itemsize)


def _params(net: Net) -> int:
    """Bytes of parameters, and of their gradients where the net runs backward."""
    count = sum({id(blob.buffer("data")): blob.count for layer in net.layer_list for blob in layer.blobs}.values())
    wanted = {id(blob.buffer("data")): blob for layer in net.layer_list for blob in _learning(layer)}
    gradients = sum(blob.count for blob in wanted.values()) if learns(net) else 0
    return (count + gradients) * int(net.dtype.itemsize)


def _learning(layer: Layer) -> list[Blob]:
    """The parameters whose gradients are computed."""
    return [blob for index, blob in enumerate(layer.blobs) if layer.wants_param(index)]


def _working(net: Net) -> int:
    """Bytes of kernels' working memory: of each name as much as the layer takes that takes most."""
    if device.get_mode() != "CPU":
        return 0
    most: dict[str, int] = {}
    for i, (layer, bottom, top) in enumerate(zip(net.layer_list, net.bottom_blobs, net.top_blobs, strict=True)):
        wanted = layer.memory(bottom, top, learns(net) and net.layer_needs_backward[i]).workspace
        most.update({name: max(most.get(name, 0), size) for name, size in wanted.items()})
    return sum(most.values())


def _join(net: Net, items: list[Item]) -> list[Item]:
    """Put what a Concat joins inside its result where less is in use at a time for it; return the items to place."""
    by_buffer = {id(blob.buffer("data")): item for item in items if item.side == "data" for blob in item.blobs}
    inside: set[int] = set()
    best = most_at_once(items)[0]
    for i in range(len(net.layer_list)):
        joins = memory_of(net, i).joins
        whole = by_buffer.get(id(net.top_blobs[i][0].buffer("data"))) if joins else None
        if whole is None:
            continue
        for blob, start in zip(net.bottom_blobs[i], joins, strict=True):
            part = by_buffer.get(id(blob.buffer("data")))
            if part is None or id(part) in inside or not _fits(net, i, part, whole):
                continue
            before = whole.spans
            whole.spans = union(before, part.spans)
            most = most_at_once([item for item in items if id(item) not in inside and item is not part])[0]
            if most > best:
                whole.spans = before
                continue
            best = most
            whole.parts.append((part, start))
            inside.add(id(part))
    return [item for item in items if id(item) not in inside]


def _fits(net: Net, index: int, part: Item, whole: Item) -> bool:
    """Whether a bottom of Concat ``index`` may lie in its top: as long, and never different from it."""
    nested = part is whole or part.parts or any(whole is other for other, _ in part.parts)
    if nested or part.last > whole.last or any(blob.count != part.size for blob in part.blobs):
        return False
    later = {id(blob) for tops in net.top_blobs[index + 1 :] for blob in tops}
    return part.last <= index or not any(id(blob) in later for blob in (*part.blobs, *whole.blobs))


def _peak(net: Net, schedule: Schedule, where: int) -> str:
    """The layer and direction of a step."""
    if not schedule.steps:
        return "(no layers)"
    kind, layer = schedule.steps[where]
    return f"{net.graph.nodes[layer].name} ({kind})"
