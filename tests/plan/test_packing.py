"""Packing: what lives at the same time never overlaps, and little room is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from segcaffe.plan.packing import Item, Slot, pack, place, union
from segcaffe.plan.schedule import usage


def _items(count: int, twice: bool) -> list[Item]:
    rng = np.random.default_rng(4)
    items = []
    for i in range(count):
        first = int(rng.integers(0, 60))
        ranges = [(first, first + int(rng.integers(0, 20)))]
        if twice:
            ranges.append((ranges[0][1] + int(rng.integers(1, 10)), ranges[0][1] + int(rng.integers(10, 20))))
        items.append(Item(i, 4 * int(rng.integers(1, 1000)), ranges))
    return items


def _most(items: Sequence[Item]) -> int:
    return max(usage(((item.size, item.ranges) for item in items), 120))


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("way", [place, pack])
def test_what_lives_at_the_same_time_has_its_own_place(way: Callable[[list[Item]], list[Slot]], twice: bool) -> None:
    items = _items(200, twice)
    _check_apart(way(items), 200)


def _check_apart(slots: Sequence[Slot], count: int) -> None:
    """All items are there, and those that live at the same time do not overlap."""
    assert sorted(item.number for slot in slots for item in slot.items) == list(range(count))
    for slot in slots:
        assert slot.size == max(item.size + start for item, start in zip(slot.items, slot.offsets, strict=True))
        for t in range(120):
            used = sorted(
                (start, start + item.size)
                for item, start in zip(slot.items, slot.offsets, strict=True)
                if any(a <= t <= b for a, b in item.ranges)
            )
            assert all(before[1] <= after[0] for before, after in pairwise(used))


@pytest.mark.parametrize("way", [place, pack])
def test_many_are_distributed_by_time(monkeypatch: pytest.MonkeyPatch, way: Callable[[list[Item]], list[Slot]]) -> None:
    items = _items(300, twice=False)
    usual = sum(slot.size for slot in way(items))
    monkeypatch.setattr("segcaffe.plan.packing._MANY", 100)
    slots = way(items)
    _check_apart(slots, 300)
    assert _most(items) <= sum(slot.size for slot in slots) < 1.1 * usual
    # What lives twice is distributed as if there were few.
    twice = _items(200, twice=True)
    _check_apart(way(twice), 200)


def test_packing_comes_close_to_what_is_needed_at_a_time() -> None:
    for twice in (False, True):
        items = _items(200, twice)
        assert pack(items)[0].size < (1.25 if twice else 1.1) * _most(items)
    items = _items(200, False)
    assert sum(slot.size for slot in place(items)) < 1.2 * _most(items)
    assert pack([]) == place([]) == []


def test_union_of_ranges() -> None:
    assert union([(0, 2), (8, 9)], [(2, 4), (6, 6)]) == [(0, 4), (6, 6), (8, 9)]
