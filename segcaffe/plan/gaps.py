"""The free ranges of a piece of memory, as an allocator keeps them: taking and giving back takes time log n."""

from __future__ import annotations

from bisect import bisect_left, insort


class Gaps:
    """Free ranges, by width and by place; behind the last range in use everything is free."""

    def __init__(self) -> None:
        self._by_width: list[tuple[int, int]] = []
        """Widths and beginnings, sorted."""
        self._end: dict[int, int] = {}
        self._start: dict[int, int] = {}
        self._top = 0

    def take(self, size: int) -> int:
        """Take ``size`` bytes of the smallest gap that has them, or else behind the last range; returns where."""
        index = bisect_left(self._by_width, (size, 0))
        if index == len(self._by_width):
            self._top += size
            return self._top - size
        width, start = self._by_width[index]
        self._remove(start, start + width)
        if width > size:
            self._add(start + size, start + width)
        return start

    def give_back(self, start: int, end: int) -> None:
        """Give a range back, which becomes one with the gaps beside it."""
        if start in self._start:
            start = self._remove(self._start[start], start)[0]
        if end in self._end:
            end = self._remove(end, self._end[end])[1]
        if end == self._top:
            self._top = start
        else:
            self._add(start, end)

    def _add(self, start: int, end: int) -> None:
        insort(self._by_width, (end - start, start))
        self._end[start], self._start[end] = end, start

    def _remove(self, start: int, end: int) -> tuple[int, int]:
        del self._by_width[bisect_left(self._by_width, (end - start, start))]
        del self._end[start], self._start[end]
        return start, end
