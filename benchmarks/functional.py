"""Our operators in PyTorch beside the same written with PyTorch's own, eager and compiled (Inductor, a C++ compiler).

``python -m benchmarks.functional [ROW...] [--forms FORM...] [--memory] [--write]``. One thread, processor time, by
turns in one process. Figures are medians of the ratios of neighbouring runs, the form's time over ours: above 1 means
that ours is faster. Outputs and gradients are compared. Compiling takes minutes a row. ``--memory`` measures each form
in a process of its own: its peak above what the process held before, the libraries loaded, over ours.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks import functional_forms as forms
from benchmarks.page import write_rows
from segcaffe import torch as ours
from segcaffe.threads import parallel

_PAUSE = 0.005
_SECONDS, _LEAST = 1.0, 5
"""Of each form and row, at most, and at least so many runs."""
OURS = "ours"


class Row(NamedTuple):
    """An operator at one size: a function that makes what it is given, ours, and the forms of PyTorch by name."""

    given: Callable[[], list[Tensor]]
    ours: Callable[..., Tensor]
    forms: dict[str, Callable[..., Tensor]]


def _conv(channels: int, size: int, embedding: int) -> Row:
    def given() -> list[Tensor]:
        torch.manual_seed(0)
        images = torch.randn(1, channels, size, size), torch.randn(1, embedding, size, size)
        weight = torch.randn(channels, channels, forms.KERNEL, forms.KERNEL) / math.sqrt(9 * channels)
        return [*images, torch.tensor(0.05), weight, torch.randn(channels)]

    def masked(x: Tensor, e: Tensor, scale: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        mask = torch.exp(-scale * ours.local_distance(e, forms.KERNEL, 1, "l1"))
        return ours.masked_conv2d(x, mask, weight, bias, padding=1)

    eager = {"taps": forms.conv_taps, "unfold": forms.conv_unfold}
    compiled = {**eager, "other": forms.conv_products}
    return Row(given, masked, eager | {f"{name}, compiled": _compile(form) for name, form in compiled.items()})


def _meanfield(classes: int, size: int, guide: int, mean: forms.Mean) -> Row:
    def given() -> list[Tensor]:
        torch.manual_seed(0)
        images = torch.randn(1, classes, size, size), 0.2 * torch.randn(1, guide, size, size)
        noise = 0.1 * torch.randn(2, classes, classes)
        return [*images, torch.eye(classes) + noise[0], -torch.eye(classes) + noise[1]]

    def field(unary: Tensor, guide: Tensor, weight: Tensor, compat: Tensor) -> Tensor:
        sizes = {"kernel_size": mean.kernel, "dilation": mean.dilation, "iterations": mean.iterations}
        return ours.local_meanfield(unary, guide, weight, compat, **sizes)

    def bound(form: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *given: form(*given, mean)

    named = {"taps": forms.meanfield_taps, "unfold": forms.meanfield_unfold}
    named["taps, compiled"] = forms.compiled_meanfield_taps
    named["unfold, compiled"] = _compile(forms.meanfield_unfold)
    named["other, compiled"] = _compile(forms.meanfield_windows)
    return Row(given, field, {name: bound(form) for name, form in named.items()})


def _compile(form: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compile for the sizes of each row: a second row would otherwise have the first one's form made for any size."""
    compiled: Callable[..., Tensor] = torch.compile(form, dynamic=False)
    return compiled


ROWS = {
    "masked convolution, 32 channels, 161x161": lambda: _conv(32, 161, 64),
    "masked convolution, 64 channels, 161x161": lambda: _conv(64, 161, 64),
    "masked convolution, 128 channels, 81x81": lambda: _conv(128, 81, 64),
    "mean field, 9x9, 3 iterations, 129x129": lambda: _meanfield(21, 129, 64, forms.Mean(9, 1, 3)),
    "mean field, 13x13 dilated by 9, 2 iterations, 129x129": lambda: _meanfield(21, 129, 66, forms.Mean(13, 9, 2)),
}
FORMS = ("taps", "unfold", "taps, compiled", "unfold, compiled", "other, compiled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help="only rows whose names begin so")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--write", action="store_true", help="put these rows into docs/performance-functional.md")
    parser.add_argument("--alone", choices=(OURS, *FORMS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = [name for name in ROWS if not options.rows or name.startswith(tuple(options.rows))]
    if not names:
        parser.error(f"no row begins with {', '.join(options.rows)}. Rows: {'; '.join(ROWS)}")
    if any("compiled" in form for form in options.forms) and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        parser.error("torch.compile needs a C++ compiler (g++ or clang++), which is not here; choose others by --forms")
    torch.set_num_threads(1)
    parallel.set_num_threads(1)
    if options.alone:
        print(_peak(ROWS[names[0]](), options.alone))
        return
    header = ["row", "ours, MB" if options.memory else "ours, ms", *options.forms, "strongest"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    print(*lines, sep="\n")
    for name in names:
        rows = _memory(name, options.forms) if options.memory else _times(name, ROWS[name](), options.forms)
        for line in rows:
            print(line, flush=True)
            if options.write:
                write_rows("performance-functional", "functional --memory" if options.memory else "functional", [line])


def _times(name: str, row: Row, chosen: Sequence[str]) -> list[str]:
    """A line for forward, one for forward and backward."""
    given, runs = row.given(), {OURS: row.ours, **{form: row.forms[form] for form in chosen}}
    seed = torch.randn_like(row.ours(*given))
    found = {form: _both(run, given, seed) for form, run in runs.items()}
    worst = max(_difference(values, found[OURS]) for values in found.values())
    print(f"{name}: largest difference of outputs and gradients {worst:.0e} of the largest value", file=sys.stderr)
    lines = []
    for work in ("forward", "forward and backward"):
        backward = work != "forward"
        works = [_work(run, given, seed if backward else None) for run in runs.values()]
        mine, *others = _interleaved(works)
        ratios = [median(theirs / own for theirs, own in zip(other, mine, strict=True)) for other in others]
        cells = [f"{1e3 * median(mine):.1f}", *(f"{ratio:.1f}" for ratio in ratios), f"{min(ratios):.2f}"]
        lines.append(f"| {name}: {work} | {' | '.join(cells)} |")
    return lines


def _work(run: Callable[..., Tensor], given: list[Tensor], seed: Tensor | None) -> Callable[[], object]:
    """Run forward without gradients, or with a seed forward and backward."""

    def forward() -> Tensor:
        with torch.no_grad():
            return run(*given)

    return forward if seed is None else lambda: _both(run, given, seed)


def _both(run: Callable[..., Tensor], given: list[Tensor], seed: Tensor) -> list[Tensor]:
    """The output and all gradients."""
    leaves = [one.detach().requires_grad_() for one in given]
    out = run(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, seed)]


def _difference(found: list[Tensor], wanted: list[Tensor]) -> float:
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, wanted, strict=True))


def _interleaved(runs: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Seconds of the processor of each, run by turns; the first round does not count."""
    times: list[list[float]] = [[] for _ in runs]
    begin = time.process_time()
    while len(times[-1]) <= _LEAST or (time.process_time() - begin < _SECONDS * len(runs) and len(times[-1]) < 31):
        for run, kept in zip(runs, times, strict=True):
            time.sleep(_PAUSE)
            start = time.process_time()
            run()
            kept.append(time.process_time() - start)
    return [kept[1:] for kept in times]


def _memory(name: str, chosen: Sequence[str]) -> list[str]:
    """A line of peaks of forward and backward."""

    def peak(form: str) -> float:
        command = [sys.executable, "-m", "benchmarks.functional", name, "--alone", form]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])

    mine, others = peak(OURS), [peak(form) for form in chosen]
    cells = [f"{mine:.0f}", *(f"{other / mine:.1f}" for other in others), f"{min(others) / mine:.2f}"]
    return [f"| {name}: forward and backward | {' | '.join(cells)} |"]


def _peak(row: Row, form: str) -> float:
    """Most resident memory of a third run above what the process held: ours before its first run at this size.

    A form's earlier runs load and compile what it needs, and what they took is given back; ours keep workspace, which
    counts, and load compiled kernels, which do not. What is given, the output's gradient too, is there before.
    """
    given, run = row.given(), row.ours if form == OURS else row.forms[form]
    seed = torch.ones_like(given[0])
    if form == OURS:
        small = [one[..., :20, :20].contiguous() if one.ndim == 4 and one.shape[-1] > 20 else one for one in given]
        _both(run, small, torch.ones_like(run(*small)))
    before = _status("VmRSS")
    for _ in range(2):
        _both(run, given, seed)
    if form != OURS:
        ctypes.CDLL(None).malloc_trim(0)
        before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    _both(run, given, seed)
    return _status("VmHWM") - before


def _status(key: str) -> float:
    """A line of the process's state, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


if __name__ == "__main__":
    main()
