"""Fair timing on noisy machines: two functions in turn, ratio of medians."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

PAUSE = 0.005
"""Seconds of rest between two runs with several threads.

PyTorch's threads watch for work for 4 ms before they sleep. A longer rest is not fair either: from 20 ms on, a virtual
machine's idle processor takes several milliseconds to come back, for our threads as for theirs.
"""


@dataclass(frozen=True)
class Pair:
    """Times of two functions that ran in turn, in seconds."""

    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def ratio(self) -> float:
        """Median of the pairwise ratios ours / theirs: below 1 means ours is faster."""
        return median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def best_ratio(self) -> float:
        """Ratio of the fastest runs: what is left of it where other programs disturb both, one more than the other."""
        return min(self.ours) / min(self.theirs)

    def row(self, name: str) -> str:
        """One line of a table: name, median times in ms, ratio."""
        return f"| {name} | {1e3 * median(self.ours):.1f} | {1e3 * median(self.theirs):.1f} | {self.ratio:.2f} |"


def interleave(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    runs: int = 11,
    warmup: int = 2,
    pause: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Pair:
    """Time both functions ``runs`` times, A B A B ..., after ``warmup`` uncounted rounds.

    ``pause`` seconds of rest before each run let the threads of the other library go to sleep. ``clock`` may be
    ``time.thread_time`` for functions of one thread: the processor's time, which other programs take no part of.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for i in range(warmup + runs):
        for function, kept in zip((ours, theirs), times, strict=True):
            time.sleep(pause)
            start = clock()
            function()
            if i >= warmup:
                kept.append(clock() - start)
    return Pair(*times)
