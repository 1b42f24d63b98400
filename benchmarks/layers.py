"""Times every layer type beside its PyTorch counterpart on the CPU: python -m benchmarks.layers [TYPE ...].

Without types all are timed and the table is written to docs/performance-layers.md. Both sides run in turn: with one
thread each, where the processor's time is taken, and with two threads each, where the time on the wall is. Times are
medians, a ratio is the median of the ratios of neighbouring runs. ``--runs N`` sets the number of runs (half as many
with two threads).
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.layer_cases import REASONS, Bench, benches, left_out
from benchmarks.timing import PAUSE, Pair, interleave
from segcaffe.threads import parallel

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance-layers.md"
THREADS = 2


INTRODUCTION = """# Layers against PyTorch

Written by `python -m benchmarks.layers`: every layer type at its natural size, most of them (1, 64, 161, 161), forward
and forward with backward, beside what PyTorch's users would write. A ratio below 1 means that ours is faster. Times and
the first ratio are with one thread each, in processor time, which other programs on the machine hardly disturb; the
ratio "2 threads" is of times on the wall with two threads each, taken in turn. On a quiet machine it is the higher of
both for most layers: a pass here is short, and ours hands out its parts from Python. On a busy one it is far lower, as
PyTorch's threads wait for one another actively.
"""


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


Measured = list[Pair | float | None]


def measure(bench: Bench, runs: int, threads: int) -> Measured:
    """Forward, and forward with backward: pairs, or our time alone, or None where there is no backward.

    With one thread the processor's time is measured, with several the time on the wall.
    """
    torch.set_num_threads(threads)
    parallel.set_num_threads(threads)
    clock = time.thread_time if threads == 1 else time.perf_counter
    results: Measured = []
    mine = ours(bench)
    their = theirs(bench) if bench.counterpart is not None else None
    for i, function in enumerate(mine):
        if i == 1 and not bench.backward:
            results.append(None)
        elif their is None:
            results.append(median(interleave(function, _nothing, min(runs, 5), clock=clock).ours))
        else:
            results.append(interleave(function, their[i], runs, pause=0 if threads == 1 else PAUSE, clock=clock))
    return results


def _nothing() -> None:
    """Stands in where PyTorch has no counterpart."""


def row(bench: Bench, alone: Measured, together: Measured) -> str:
    """A line of the table: for forward and for both, times and ratio with one thread, ratio with two."""
    cells = []
    for single, double in zip(alone, together, strict=True):
        if isinstance(single, Pair) and isinstance(double, Pair):
            times = [f"{1e3 * median(values):.2f}" for values in (single.ours, single.theirs)]
            cells += [*times, f"{single.ratio:.2f}", f"{double.ratio:.2f}"]
        else:
            cells += [f"{1e3 * single:.2f}" if isinstance(single, float) else "", "", "", ""]
    return f"| {bench.name} | " + " | ".join(cells) + " |"


HEADER = """| layer | forward, ms | PyTorch | ratio | 2 threads | and backward, ms | PyTorch | ratio | 2 threads |
|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    """Time, print, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("types", nargs="*", help="only these types, without writing the page")
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    lines, ratios = [], {}
    print(HEADER)
    for bench in benches():
        if options.types and bench.case.type not in options.types:
            continue
        alone, together = measure(bench, options.runs, 1), measure(bench, options.runs // 2 + 1, THREADS)
        lines.append(row(bench, alone, together))
        print(lines[-1], flush=True)
        for what, result in zip(("forward", "forward and backward"), alone, strict=True):
            if isinstance(result, Pair):
                ratios[f"{bench.name}, {what}"] = result.ratio
    print(f"median {median(ratios.values()):.2f}, largest {max(ratios.values()):.2f}" if ratios else "no counterparts")
    if not options.types:
        PAGE.write_text(page(lines, ratios))


def page(lines: list[str], ratios: dict[str, float]) -> str:
    """The page with the table."""
    machine = f"{platform.processor() or platform.machine()}, PyTorch {torch.__version__}, NumPy {np.__version__}"
    above = [name for name, ratio in sorted(ratios.items(), key=lambda item: -item[1]) if ratio > 1]
    values = list(ratios.values())
    parts = [
        INTRODUCTION,
        f"Machine: {machine}. Median of all ratios {median(values):.2f}, largest {max(values):.2f}.\n",
        HEADER,
        *lines,
        "\n## Above 1.0\n",
        *(f"- {name}: {ratios[name]:.2f}. {_reason(name)}" for name in above),
        "\n## Not timed\n",
        *(f"- {name}: {reason}." for name, reason in left_out().items()),
    ]
    return "\n".join(parts) + "\n"


def _reason(name: str) -> str:
    for start, reason in REASONS.items():
        if name.startswith(start):
            return reason
    return "Within what two good loops differ by; both move the same bytes."


if __name__ == "__main__":
    main()
