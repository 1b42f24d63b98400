"""Times layer types of the forks beside other libraries: python -m benchmarks.forks [NAME ...] [--runs N].

Needs ``opencv-python-headless<5``, onnx, onnxruntime and torch beside segcaffe. Without names the table is written to
docs/performance-forks.md; a name is the beginning of a row's. One thread each, in processor time, in turn: a ratio
below 1 means that ours is faster. Whole nets of one layer are timed, with what each library does around a layer.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np
import onnxruntime
import torch

from benchmarks.fork_cases import CASES, LIMITS, MEMORY
from benchmarks.fork_peers import Array, Case, ours, peers
from benchmarks.timing import Pair, interleave
from segcaffe.threads import parallel

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance-forks.md"
INTRODUCTION = """# Layers of the forks against OpenCV, ONNX Runtime and PyTorch

Written by `python -m benchmarks.forks`: layer types that other Caffes added, at sizes of the nets that they come from,
beside the libraries that compute the same. Nets of one layer run in turn in one process, with one thread each, in
processor time; a ratio is the median of those of neighbouring runs, and below 1 means that ours is faster. What a
library does around a layer counts. A pass of ours in phase TEST that is recorded takes about 5 microseconds of that,
another one 20; each call of NumPy in a layer takes 1 to 5.
"""
_NOISE = 1.05
HEADER = "| layer | beside | ours, ms | theirs, ms | ratio |\n|---|---|---|---|---|"


class Row(NamedTuple):
    """A comparison."""

    name: str
    peer: str
    pair: Pair

    def __str__(self) -> str:
        mine, theirs = (1e3 * median(values) for values in (self.pair.ours, self.pair.theirs))
        return f"| {self.name} | {self.peer} | {mine:.3f} | {theirs:.3f} | {self.pair.ratio:.2f} |"


def rows(case: Case, runs: int) -> Iterator[Row]:
    """A comparison with each of the case's peers, whose results are compared first."""
    mine = ours(case)
    for peer, run in peers(case, mine).items():
        if case.agrees:
            _compare(case.name, peer, mine.run(), run())
        yield Row(case.name, peer, interleave(mine.net.forward, run, runs, warmup=5, clock=time.thread_time))


def _compare(name: str, peer: str, found: Array, wanted: Array) -> None:
    found, wanted = (values.reshape(-1, values.shape[-1] if values.ndim else 1) for values in (found, wanted))
    if found.shape[-1] == 7:
        found, wanted = (values[values.any(axis=1)] for values in (found, wanted))
    same = found.shape == wanted.shape
    error = np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-6) if same else np.inf
    if error > 1e-3:
        print(f"{name}: NOT as {peer}, {error:.2g}, shapes {found.shape} and {wanted.shape}")


def main() -> None:
    """Print a table, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only rows that begin so, without writing the page")
    parser.add_argument("--runs", type=int, default=101)
    options = parser.parse_args()
    parallel.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print(HEADER)
    table = []
    for case in CASES:
        if options.names and not case.name.startswith(tuple(options.names)):
            continue
        for row in rows(case, options.runs):
            print(row, flush=True)
            table.append(row)
    if not options.names:
        PAGE.write_text(page(table))


def page(table: list[Row]) -> str:
    """The page with the table, and what bounds those that are slower."""
    peers = ("OpenCV", "ONNX Runtime", "PyTorch")
    ratios = {peer: [row.pair.ratio for row in table if row.peer == peer] for peer in peers}
    versions = f"OpenCV {cv2.__version__}, ONNX Runtime {onnxruntime.__version__}, PyTorch {torch.__version__}"
    medians = ", ".join(f"{peer} {median(values):.2f}" for peer, values in ratios.items())
    slower = [
        f"- {row.name}, beside {row.peer}: {row.pair.ratio:.2f}. {_limit(row.name)}"
        for row in table
        if row.pair.ratio > _NOISE
    ]
    parts = [
        INTRODUCTION,
        f"{versions}, NumPy {np.__version__}. Median ratio beside {medians}.\n",
        HEADER,
        *map(str, table),
        f"\n## Above {_NOISE}\n\nWithin {_NOISE} both move the same bytes, and differ from one start to the next.\n",
        *(slower or ["None."]),
    ]
    return "\n".join(parts) + "\n"


def _limit(name: str) -> str:
    """What bounds a layer."""
    return next((reason for start, reason in LIMITS.items() if name.startswith(start)), MEMORY)


if __name__ == "__main__":
    main()
