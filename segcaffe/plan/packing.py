"""Placing what is needed at different times into the same memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from segcaffe.blob import Blob

Side = Literal["data", "diff"]
Span = tuple[int, int]
"""First and last step."""
_ALIGN = 16
"""Elements that starts are multiples of."""


@dataclass
class Item:
    """Values or gradients that some blobs have in common, and the spans of steps over which they are needed."""

    name: str
    side: Side
    size: int
    spans: list[Span]
    """In order, apart from each other."""
    blobs: list[Blob] = field(default_factory=list)
    parts: list[tuple[Item, int]] = field(default_factory=list)
    """Items that lie inside this one, and where, in elements."""

    @property
    def last(self) -> int:
        """The last step of all."""
        return self.spans[-1][1]

    def overlaps(self, other: Item) -> bool:
        """Whether both are needed at some step."""
        return any(a[0] <= b[1] and b[0] <= a[1] for a in self.spans for b in other.spans)


@dataclass
class Slot:
    """One buffer, in elements, what uses it by turns, and where each item begins."""

    size: int
    items: list[Item] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def is_free(self, item: Item) -> bool:
        """Whether nothing in the slot is needed at the same time as ``item``."""
        return not any(item.overlaps(other) for other in self.items)

    def add(self, item: Item, start: int = 0) -> None:
        """Put an item in."""
        self.items.append(item)
        self.starts.append(start)


def place(items: Iterable[Item]) -> list[Slot]:
    """Distribute items over buffers that each serve one item at a time: the largest first, where they fit closest."""
    slots: list[Slot] = []
    for item in sorted(items, key=lambda item: -item.size):
        free = [slot for slot in slots if slot.is_free(item)]
        # The largest items came first, so every slot is large enough.
        slot = min(free, key=lambda slot: slot.size, default=None)
        if slot is None:
            slot = Slot(item.size)
            slots.append(slot)
        slot.add(item)
    return slots


def pack(items: Sequence[Item]) -> list[Slot]:
    """Put all items into one buffer, each into the smallest gap that is free for as long as it lives.

    The order decides how well they fit: several are tried.
    """
    if not items:
        return []
    orders: list[Callable[[Item], tuple[int, ...]]] = [
        lambda item: (-item.size,),
        lambda item: (-item.size * _steps(item),),
        lambda item: (-_steps(item), -item.size),
        lambda item: (item.spans[0][0], -item.size),
        lambda item: (-item.last, -item.size),
    ]
    return [min((_packed(sorted(items, key=order)) for order in orders), key=lambda slot: slot.size)]


def _steps(item: Item) -> int:
    return sum(last - first + 1 for first, last in item.spans)


def _packed(items: Sequence[Item]) -> Slot:
    """The buffer with items put in one after the other."""
    count = sum(len(item.spans) for item in items)
    first, last, start, end = (np.zeros(count, np.int64) for _ in range(4))
    slot, used = Slot(0), 0
    for item in items:
        meets = np.zeros(used, bool)
        for span in item.spans:
            meets |= (first[:used] <= span[1]) & (last[:used] >= span[0])
        at = _gap(start[:used][meets], end[:used][meets], item.size)
        slot.add(item, at)
        slot.size = max(slot.size, at + item.size)
        for span in item.spans:
            first[used], last[used] = span
            start[used], end[used] = at, at + -(-item.size // _ALIGN) * _ALIGN
            used += 1
    return slot


def _gap(starts: np.ndarray[tuple[int], np.dtype[np.int64]], ends: np.ndarray[tuple[int], np.dtype[np.int64]],
         size: int) -> int:  # fmt: skip
    """Where the smallest gap of at least ``size`` between occupied ranges begins; the end if there is none."""
    order = np.argsort(starts, kind="stable")
    free = np.concatenate([np.zeros(1, np.int64), np.maximum.accumulate(ends[order])])
    widths = starts[order] - free[:-1]
    fitting = np.flatnonzero(widths >= size)
    return int(free[fitting[np.argmin(widths[fitting])]] if len(fitting) else free[-1])


def union(a: Sequence[Span], b: Sequence[Span]) -> list[Span]:
    """The spans that cover both."""
    result: list[Span] = []
    for first, last in sorted([*a, *b]):
        if result and first <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


def most_at_once(items: Iterable[Item]) -> tuple[int, int]:
    """How many elements are in use at a time at most, and when first."""
    changes: dict[int, int] = {}
    for item in items:
        for first, last in item.spans:
            changes[first] = changes.get(first, 0) + item.size
            changes[last + 1] = changes.get(last + 1, 0) - item.size
    used, best, where = 0, 0, 0
    for step in sorted(changes):
        used += changes[step]
        if used > best:
            best, where = used, step
    return best, where
