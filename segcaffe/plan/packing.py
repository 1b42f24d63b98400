"""Placing what lives at different times into the same memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

import numpy as np

from segcaffe.plan.gaps import Gaps
from segcaffe.plan.schedule import Range

_ALIGN = 64
"""Bytes that offsets are multiples of."""
_MANY = 2000
"""From how many items on not all orders are tried: their time grows with the square."""


@dataclass
class Item:
    """A buffer, by its number, its bytes, and the ranges of turns over which it lives."""

    number: int
    size: int
    ranges: Sequence[Range]
    """In order, apart from each other."""
    parts: list[tuple[Item, int]] = field(default_factory=list)
    """Items that lie inside this one, and their offsets, in bytes."""

    @property
    def first(self) -> int:
        """The first turn of all."""
        return self.ranges[0][0]

    @property
    def last(self) -> int:
        """The last turn of all."""
        return self.ranges[-1][1]

    @property
    def turns(self) -> int:
        """Number of turns over which it lives."""
        return sum(last - first + 1 for first, last in self.ranges)

    def overlaps(self, other: Item) -> bool:
        """Whether both live at some turn."""
        return any(a[0] <= b[1] and b[0] <= a[1] for a in self.ranges for b in other.ranges)


@dataclass
class Slot:
    """An arena: one piece of memory, in bytes, what uses it by turns, and at which offsets."""

    size: int
    items: list[Item] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def add(self, item: Item, offset: int = 0) -> None:
        """Put an item in."""
        self.items.append(item)
        self.offsets.append(offset)

    def places(self) -> list[tuple[Item, int]]:
        """Each item, and those inside it, at any depth, with its offset."""
        found = list(zip(self.items, self.offsets, strict=True))
        # Grows on the way: of those inside come what is inside of them.
        for item, start in found:
            found += [(part, start + inside) for part, inside in item.parts]
        return found


def _by_time(item: Item) -> tuple[int, int]:
    return item.first, -item.size


_ORDERS: tuple[Callable[[Item], tuple[int, ...]], ...] = (
    lambda item: (-item.size,),
    lambda item: (-item.size * item.turns,),
    lambda item: (-item.turns, -item.size),
    _by_time,
    lambda item: (-item.last, -item.size),
)


def place(items: Sequence[Item]) -> list[Slot]:
    """Distribute items over slots that each serve one item at a time: the largest first, where they fit closest.

    Many items are distributed in the order of time.
    """
    if _are_many(items):
        return _placed_by_time(items)
    slots: list[Slot] = []
    for item in sorted(items, key=lambda item: -item.size):
        free = [slot for slot in slots if not any(item.overlaps(other) for other in slot.items)]
        # The largest items came first, so every slot is large enough.
        slot = min(free, key=lambda slot: slot.size, default=None)
        if slot is None:
            slot = Slot(item.size)
            slots.append(slot)
        slot.add(item)
    return slots


def _placed_by_time(items: Sequence[Item]) -> list[Slot]:
    """Slots that serve one item at a time; a free one that is too small grows."""
    slots: list[Slot] = []
    busy: list[tuple[int, int]] = []
    free: list[tuple[int, int]] = []
    for item in sorted(items, key=_by_time):
        while busy and busy[0][0] < item.first:
            number = heappop(busy)[1]
            insort(free, (slots[number].size, number))
        if free:
            # The smallest that is large enough, or the largest.
            number = free.pop(min(bisect_left(free, (item.size, 0)), len(free) - 1))[1]
        else:
            number = len(slots)
            slots.append(Slot(0))
        slots[number].size = max(slots[number].size, item.size)
        slots[number].add(item)
        heappush(busy, (item.last, number))
    return slots


def pack(items: Sequence[Item]) -> list[Slot]:
    """Put all items into one slot, each into the smallest gap that is free for as long as it lives.

    The order decides how well they fit: several are tried, of many items those by time, forward and backward.
    """
    if not items:
        return []
    if _are_many(items):
        slots = [_packed_by_time(items), _packed_by_time(items, backward=True)]
    else:
        slots = [_packed(sorted(items, key=order)) for order in _ORDERS]
    return [min(slots, key=lambda slot: slot.size)]


def _are_many(items: Sequence[Item]) -> bool:
    """Whether to go by time alone. What lives twice, as with recomputation, would not keep its place."""
    return len(items) > _MANY and all(len(item.ranges) == 1 for item in items)


def _packed_by_time(items: Sequence[Item], backward: bool = False) -> Slot:
    """The slot with items put in as they begin to live, or from the last turn on as they end."""
    slot, gaps = Slot(0), Gaps()
    alive: list[tuple[int, int, int]] = []
    spans = [((-item.last, -item.first) if backward else (item.first, item.last), item) for item in items]
    for (first, last), item in sorted(spans, key=lambda span: (span[0][0], -span[1].size)):
        while alive and alive[0][0] < first:
            gaps.give_back(*heappop(alive)[1:])
        taken = _aligned(item.size)
        offset = gaps.take(taken)
        slot.add(item, offset)
        slot.size = max(slot.size, offset + item.size)
        if taken:
            heappush(alive, (last, offset, offset + taken))
    return slot


def _packed(items: Sequence[Item]) -> Slot:
    """The slot with items put in one after the other."""
    count = sum(len(item.ranges) for item in items)
    first, last, start, end = (np.zeros(count, np.int64) for _ in range(4))
    slot, used = Slot(0), 0
    for item in items:
        meets = np.zeros(used, bool)
        for span in item.ranges:
            meets |= (first[:used] <= span[1]) & (last[:used] >= span[0])
        offset = _gap(start[:used][meets], end[:used][meets], item.size)
        slot.add(item, offset)
        slot.size = max(slot.size, offset + item.size)
        for span in item.ranges:
            first[used], last[used] = span
            start[used], end[used] = offset, offset + _aligned(item.size)
            used += 1
    return slot


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


def _gap(starts: np.ndarray[tuple[int], np.dtype[np.int64]], ends: np.ndarray[tuple[int], np.dtype[np.int64]],
         size: int) -> int:  # fmt: skip
    """Where the smallest gap of at least ``size`` between occupied ranges begins; the end if there is none."""
    order = np.argsort(starts, kind="stable")
    free = np.concatenate([np.zeros(1, np.int64), np.maximum.accumulate(ends[order])])
    widths = starts[order] - free[:-1]
    fitting = np.flatnonzero(widths >= size)
    return int(free[fitting[np.argmin(widths[fitting])]] if len(fitting) else free[-1])


def union(a: Sequence[Range], b: Sequence[Range]) -> list[Range]:
    """The ranges that cover both."""
    result: list[Range] = []
    for first, last in sorted([*a, *b]):
        if result and first <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result
