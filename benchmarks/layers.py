"""Times every layer type beside its PyTorch counterpart on the CPU: python -m benchmarks.layers [TYPE ...].

Without types all are timed and the table is written to docs/performance-layers.md. Both sides use two threads and run
in turn. Times are those of the fastest runs, the ratio is theirs too; in brackets the median of the ratios of
neighbouring runs, which other programs on the machine disturb more. ``--runs N`` sets the number of runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.layer_cases import BENCHES, Bench
from benchmarks.timing import Pair, interleave
from segcaffe.kernels import parallel

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance-layers.md"
THREADS = 2
PAUSE = 0.02
"""Seconds before each run in which the other library's threads go to sleep."""


def ours(bench: Bench) -> tuple[Callable[[], object], Callable[[], object]]:
    """Forward, and forward with backward, of our layer."""
    layer, bottom, top = bench.case.build()
    layer.param_propagate_down = [True] * len(layer.blobs)
    wanted = [layer.allows_gradient(i) for i in range(len(bottom))]
    layer.forward(bottom, top)
    for blob in top:
        blob.diff[...] = 1

    def forward() -> None:
        layer.forward(bottom, top)

    def both() -> None:
        layer.forward(bottom, top)
        layer.backward(top, wanted, bottom)

    return forward, both


def theirs(bench: Bench) -> tuple[Callable[[], object], Callable[[], object]]:
    """The same by PyTorch; backward by autograd, to the bottoms that can have a gradient and the parameters."""
    assert bench.counterpart is not None
    function = bench.counterpart
    layer, bottom, _ = bench.case.build()
    inputs = [torch.from_numpy(np.array(blob.data)) for blob in (*bottom, *layer.blobs)]
    learnt = [layer.allows_gradient(i) for i in range(len(bottom))] + [True] * len(layer.blobs)
    tensors = [x.clone().requires_grad_(wanted) for x, wanted in zip(inputs, learnt, strict=True)]

    def forward() -> Any:
        with torch.no_grad():
            return function(*inputs)

    def both() -> Any:
        result = function(*tensors)
        outputs = list(result) if isinstance(result, (list, tuple)) else [result]
        wanted = [x for x, needed in zip(tensors, learnt, strict=True) if needed]
        seeds = [torch.ones_like(out) for out in outputs]
        return torch.autograd.grad(outputs, wanted, seeds, allow_unused=True)

    return forward, both


def measure(bench: Bench, runs: int) -> list[Pair | float | None]:
    """Forward, and forward with backward: pairs, or our time alone, or None where there is no backward."""
    results: list[Pair | float | None] = []
    mine = ours(bench)
    their = theirs(bench) if bench.counterpart is not None else None
    for i, function in enumerate(mine):
        if i == 1 and not bench.backward:
            results.append(None)
        elif their is None:
            results.append(_alone(function, runs))
        else:
            results.append(interleave(function, their[i], runs, pause=PAUSE))
    return results


def _alone(function: Callable[[], object], runs: int) -> float:
    times = []
    function()
    for _ in range(min(runs, 5)):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def row(bench: Bench, results: list[Pair | float | None]) -> str:
    """A line of the table."""
    cells = []
    for result in results:
        if result is None:
            cells += ["", "", ""]
        elif isinstance(result, float):
            cells += [f"{1e3 * result:.2f}", "", ""]
        else:
            cells += [f"{1e3 * min(result.ours):.2f}", f"{1e3 * min(result.theirs):.2f}"]
            cells += [f"{result.best_ratio:.2f} ({result.ratio:.2f})"]
    return f"| {bench.name} | " + " | ".join(cells) + " |"


def main() -> None:
    """Time, print, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*", help="only these types, without writing the page")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    parallel.set_num_threads(THREADS)
    lines, ratios = [], {}
    for bench in BENCHES:
        if options.types and bench.case.type not in options.types:
            continue
        results = measure(bench, options.runs)
        lines.append(row(bench, results))
        print(lines[-1], flush=True)
        for what, result in zip(("forward", "both"), results, strict=True):
            if isinstance(result, Pair):
                ratios[bench.name, what] = result.best_ratio
    if ratios:
        print(f"median {median(ratios.values()):.2f}, largest {max(ratios.values()):.2f}")


if __name__ == "__main__":
    main()
