"""How long large files and nets of many layers take, and how that grows: python -m benchmarks.files [WORD ...].

Without words all rows are measured and the table is written to docs/performance-files.md; with words only the rows that
have one of them, and nothing is written. Times are the processor's, of one run in a process that has done the same with
a small file before; the exponent is the slope of log(time) over log(size) from a quarter of the size to the size, 1
where time is in proportion.
"""

from __future__ import annotations

import argparse
import gc
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.file_cases import FileCase, cases

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance-files.md"
STEP = 4
"""How many times as large the second size is as the first."""
_RUNS = 3

INTRODUCTION = """# Large files

Written by `python -m benchmarks.files`: what reading, building, drawing and checking takes where there is very much of
something, in seconds of the processor, the best of three runs; beside it protobuf's own parser where it can do the
same. (Of binary files it reads the bytes only: it neither finds out whose dialect they are in nor checks names.) The
exponent says how the time grows: 1 where it is in proportion to the size, 2 where it grows with its square; taken from
a quarter of the size to the size. Tests hold every row to that at smaller sizes.

"""
HEADER = ("| what | size | seconds | protobuf's own | exponent |", "|---|---|---|---|---|")


@dataclass(frozen=True)
class Growth:
    """Seconds at a size and at `STEP` times that, and a peer's at the larger."""

    size: int
    seconds: tuple[float, float]
    peer: float | None

    @property
    def exponent(self) -> float:
        """1 where the time is in proportion to the size."""
        return math.log(self.seconds[1] / self.seconds[0], STEP)


def seconds_of(run: Callable[[Any], object], given: Any, runs: int = _RUNS) -> float:
    """The processor's time of the fastest run, without collections of garbage, which depend on all that is alive."""
    best = math.inf
    for _ in range(runs):
        gc.collect()
        gc.disable()
        start = time.thread_time()
        run(given)
        best = min(best, time.thread_time() - start)
        gc.enable()
    return best


def measure(case: FileCase, size: int, runs: int = _RUNS) -> Growth:
    """What a case takes at a quarter of a size and at the size."""
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name, "small"), Path(name, "large")
        small.mkdir()
        large.mkdir()
        # Once more than the larger one: what the first run makes for good is not part of it.
        before = seconds_of(case.run, case.make(size // STEP, small), runs + 1)
        given = case.make(size, large)
        peer = None if case.peer is None else seconds_of(case.peer, given, runs)
        return Growth(size, (before, seconds_of(case.run, given, runs)), peer)


def row(case: FileCase, growth: Growth) -> str:
    """One line of the table."""
    peer = "" if growth.peer is None else f"{growth.peer:.2g}"
    return f"| {case.what} | {growth.size:,} {case.unit}s | {growth.seconds[1]:.2g} | {peer} | {growth.exponent:.2f} |"


def main() -> None:
    """Print the table, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only rows that have one of these words, without writing the page")
    options = parser.parse_args()
    chosen = [case for case in cases() if not options.words or any(word in case.what for word in options.words)]
    print("\n".join(HEADER))
    rows = []
    for case in chosen:
        measure(case, max(STEP, case.size // 100), 1)
        rows.append(row(case, measure(case, case.size)))
        print(rows[-1], flush=True)
    if not options.words:
        PAGE.write_text(INTRODUCTION + "\n".join([*HEADER, *rows]) + "\n")


if __name__ == "__main__":
    main()
