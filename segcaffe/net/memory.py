"""The memory plan: blobs that are never needed at the same time share memory.

Time runs over the layers forward, then backward. A blob's values live from the layer that makes them to the last that
reads them, forward or, where the net learns, backward (`Layer.backward_reads`); its
gradient lives from the last layer that reads the blob to the one that makes it. What lives at different times may use
one buffer: the largest are placed first, each into the smallest buffer that is free for as long as it lives. What a
Concat joins is made in its place in the result where that saves memory.

Kept out of the plan, because somebody outside the layers writes or reads them: inputs and what data layers make,
outputs, losses, gradients that nobody writes (they must stay zero), and deferred blobs (which have no memory until they
are read).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from segcaffe import device
from segcaffe.blob import Blob, Buffer, BufferPart
from segcaffe.layers.base import Layer
from segcaffe.layers.shape.concat import Concat
from segcaffe.net.deferred import DeferredBlob
from segcaffe.proto import caffe_pb2

if TYPE_CHECKING:
    from segcaffe.net.net import Net

Side = Literal["data", "diff"]


@dataclass
class Item:
    """Values or gradients that some blobs have in common, and the first and last step at which they are needed."""

    name: str
    side: Side
    size: int
    first: int
    last: int
    blobs: list[Blob] = field(default_factory=list)
    parts: list[tuple[Item, int]] = field(default_factory=list)
    """Items that lie inside this one, and where, in elements."""


@dataclass
class Slot:
    """One buffer of the plan, in elements, and what uses it by turns."""

    size: int
    items: list[Item] = field(default_factory=list)

    def is_free(self, item: Item) -> bool:
        """Whether nothing in the slot is needed at the same time as ``item``."""
        return all(item.last < other.first or other.last < item.first for other in self.items)


@dataclass
class MemoryPlan:
    """Which blobs share memory, and what the net takes in bytes.

    Attributes
    ----------
    slots:
        Buffers that several blobs use by turns.
    own, params, held:
        Bytes of blobs with memory of their own; of parameters, with their gradients if the net learns; and what layers
        keep for themselves from forward to backward.
    peak_step:
        The layer and direction at which most of the slots' memory is in use.
    """

    slots: list[Slot]
    own: int
    params: int
    held: int
    itemsize: int
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

    def apply(self) -> None:
        """Give the blobs their shared memory; what they hold is lost."""
        for slot in self.slots:
            buffer = Buffer(slot.size, slot.items[0].blobs[0].dtype)
            for item in slot.items:
                _assign(item, buffer)
                for part, start in item.parts:
                    _assign(part, BufferPart(buffer, start, part.size))

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


def make_plan(net: Net) -> MemoryPlan:
    """Plan the memory of a net from its present shapes."""
    sides: tuple[Side, ...] = ("data", "diff") if learns(net) else ("data",)
    items = [item for side in sides for item in _items(net, side) if item.size]
    roots = _join(net, items)
    slots = place(roots)
    shared = {id(blob.buffer(item.side)) for item in items for blob in item.blobs}
    own, params = _own(net, sides, shared), _params(net)
    held = sum(_held(*each) for each in zip(net.layers, net.bottom_blobs, net.top_blobs, strict=True))
    return MemoryPlan(slots, own, params, held, net.dtype.itemsize, _peak(net, roots))


def learns(net: Net) -> bool:
    """Whether the plan lets the net run backward."""
    return (net.phase != caffe_pb2.TEST or net.graph.force_backward) and any(net.layer_needs_backward)


def place(items: Iterable[Item]) -> list[Slot]:
    """Distribute items over slots."""
    slots: list[Slot] = []
    for item in sorted(items, key=lambda item: -item.size):
        free = [slot for slot in slots if slot.is_free(item)]
        if free:
            # The largest items came first, so every slot is large enough.
            min(free, key=lambda slot: slot.size).items.append(item)
        else:
            slots.append(Slot(item.size, [item]))
    return slots


def _items(net: Net, side: Side) -> list[Item]:
    """What may share memory: one item for each buffer of the blobs, with its lifetime."""
    fixed = _fixed(net, side)
    items: dict[int, Item] = {}
    for index, step in _uses(net, side):
        blob = net.blob_list[index]
        key = id(blob.buffer(side))
        if key in fixed or isinstance(blob, DeferredBlob):
            continue
        item = items.setdefault(key, Item(net.graph.blob_names[index], side, 0, step, step))
        item.first, item.last = min(item.first, step), max(item.last, step)
        item.size = max(item.size, blob.count)
        if not any(blob is other for other in item.blobs):
            item.blobs.append(blob)
    return list(items.values())


def _uses(net: Net, side: Side) -> Iterator[tuple[int, int]]:
    """The steps at which layers read or write each blob's values, or its gradient."""
    backward = learns(net)
    for i, (node, layer) in enumerate(zip(net.graph.nodes, net.layers, strict=True)):
        back = 2 * len(net.layers) - 1 - i
        if side == "diff":
            yield from ((blob, back) for blob in (*node.bottoms, *node.tops))
            continue
        yield from ((blob, i) for blob in (*node.bottoms, *node.tops))
        if backward and net.layer_needs_backward[i]:
            bottoms, tops = layer.backward_reads()
            yield from ((blob, back) for blob in (node.bottoms if bottoms else []))
            yield from ((blob, back) for blob in (node.tops if tops else []))


def _fixed(net: Net, side: Side) -> set[int]:
    """Buffers that keep their memory to themselves."""
    graph, blobs = net.graph, net.blob_list
    fixed = {id(blobs[i].buffer(side)) for i in (*graph.inputs, *graph.outputs)}
    for node, layer, weights in zip(graph.nodes, net.layers, net.loss_weights, strict=True):
        kept = node.tops if layer.source or layer.type == "Parameter" else []
        kept = [*kept, *(top for top, weight in zip(node.tops, weights, strict=True) if weight)]
        fixed.update(id(blobs[i].buffer(side)) for i in kept)
    if side == "diff":
        fixed.update(id(blob.buffer(side)) for blob in _without_gradient(net))
    return fixed


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
    count = sum({id(blob.buffer("data")): blob.count for layer in net.layers for blob in layer.blobs}.values())
    gradients = sum(blob.count for blob in net.learnable_params) if learns(net) else 0
    return (count + gradients) * int(net.dtype.itemsize)


def _held(layer: Layer, bottom: list[Blob], top: list[Blob]) -> int:
    """Bytes of the arrays and blobs that a layer keeps besides its parameters, or will."""
    size = 0
    for value in vars(layer).values():
        if isinstance(value, Blob):
            size += value.count * value.dtype.itemsize
        elif isinstance(value, (np.ndarray, device.xp().ndarray)):
            size += value.nbytes
    return max(size, layer.held_bytes(bottom, top))


def _join(net: Net, items: list[Item]) -> list[Item]:
    """Put what a Concat joins inside its result where less is in use at a time for it; return the items to place."""
    by_buffer = {id(blob.buffer("data")): item for item in items if item.side == "data" for blob in item.blobs}
    inside: set[int] = set()
    best = _most(items)[0]
    for i, layer in enumerate(net.layers):
        whole = by_buffer.get(id(net.top_blobs[i][0].buffer("data"))) if isinstance(layer, Concat) else None
        if whole is None or not isinstance(layer, Concat):
            continue
        for blob, start in layer.places(net.bottom_blobs[i]):
            part = by_buffer.get(id(blob.buffer("data")))
            if part is None or id(part) in inside or not _fits(net, i, part, whole):
                continue
            before = whole.first
            whole.first = min(whole.first, part.first)
            most = _most([item for item in items if id(item) not in inside and item is not part])[0]
            if most > best:
                whole.first = before
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


def _most(items: list[Item]) -> tuple[int, int]:
    """How many elements are in use at a time at most, and when first."""
    changes: dict[int, int] = {}
    for item in items:
        changes[item.first] = changes.get(item.first, 0) + item.size
        changes[item.last + 1] = changes.get(item.last + 1, 0) - item.size
    used, best, where = 0, 0, 0
    for step in sorted(changes):
        used += changes[step]
        if used > best:
            best, where = used, step
    return best, where


def _peak(net: Net, items: list[Item]) -> str:
    """Where most is in use at a time."""
    where = _most(items)[1]
    count = len(net.layers)
    index = where if where < count else 2 * count - 1 - where
    direction = "forward" if where < count else "backward"
    return f"{net.graph.nodes[index].name} ({direction})" if net.layers else "(no layers)"
