"""On a GPU, beside PyTorch on the same one: python -m benchmarks.gpu --out DIR [ROW ...] [--tests] [--tf32-only].

Writes DIR/results.md, a line as soon as it is known, and DIR/results.json. Every row runs in a process of its own, so
that one that fails, hangs or runs out of memory is a line that says so and the rest goes on; rows for which no time is
left (``--minutes``) say that. First comes the device itself: what a copy and a product of matrices reach, from which
each row's floor is computed. Float32 products are exact on both sides, then, row by row again, TF32 on both.
Needs CuPy, PyTorch for CUDA, and a device; ``--smoke`` tries everything out on small sizes, on the CPU if need be.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import gpu_rows
from benchmarks.gpu_rows import Bench, Line, Speeds
from segcaffe import device
from segcaffe.device import cudnn
from segcaffe.errors import DeviceError

ROOT = Path(__file__).resolve().parent.parent
MARK = "benchmarks.gpu: "
"""What a row's process writes before its result."""
HEAD = (
    "| work | ours ms | PyTorch ms | times as fast | wanted | floor ms | times the floor | ours MB | PyTorch MB | |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)
_LEAST_SECONDS = 15


def start(options: argparse.Namespace) -> None:
    """Choose the device and the arithmetic on both sides."""
    try:
        device.set_mode_gpu()
        if not torch.cuda.is_available() and not options.smoke:
            raise DeviceError("The benchmark needs PyTorch for CUDA; this one sees no device.")
    except DeviceError:
        if not options.smoke:
            raise
    if torch.cuda.is_available():
        torch.set_default_device("cuda")
    device.configure(math="tf32" if options.tf32 else "fp32", autotune=options.autotune)
    torch.backends.cudnn.benchmark = options.autotune
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.tf32


def describe() -> str:
    """The device and the versions of what runs on it."""
    names = {"PyTorch": torch.__version__, "cuDNN by segcaffe": cudnn.version() or "none"}
    if device.get_mode() == "GPU":
        gpu = device.xp()
        names["CuPy"] = getattr(gpu, "__version__", "?")
    if torch.cuda.is_available():
        names["cuDNN by PyTorch"] = str(torch.backends.cudnn.version())
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "no device of PyTorch's"
    return f"{where}; {', '.join(f'{name} {version}' for name, version in names.items())}"


def run_row(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one row, or the device, in this process."""
    start(options)
    if options.row == "device":
        return {"speeds": dataclasses.asdict(gpu_rows.measure_speeds(options.smoke)), "device": describe()}
    bench = Bench(options.smoke, options.runs, Speeds(*options.speeds))
    return {"lines": [dataclasses.asdict(line) for line in gpu_rows.ROWS[options.row](bench)]}


def in_own_process(name: str, options: argparse.Namespace, seconds: float, speeds: Speeds | None) -> dict[str, Any]:
    """Measure one row in a process of its own; ``{"error": why}`` if that fails or takes longer."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--row", name, "--runs", str(options.runs)]
    command += [f"--{flag}" for flag in ("smoke", "tf32", "autotune") if getattr(options, flag)]
    if speeds is not None:
        command += ["--speeds", str(speeds.bandwidth), str(speeds.products)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=ROOT, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"stopped after {seconds:.0f} s"}
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            result: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return result
    words = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return {"error": f"process ended with {done.returncode}: {' '.join(words[-3:])[-400:]}"}


class Report:
    """The files of results, written anew after each line."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._text, self._data = folder / "results.md", folder / "results.json"
        self._rows: list[dict[str, Any]] = []
        self._text.write_text("", encoding="utf-8")

    def write(self, text: str) -> None:
        """Append to the text, and show it."""
        with self._text.open("a", encoding="utf-8") as file:
            file.write(text)
        print(text, end="", flush=True)

    def add(self, section: str, name: str, result: dict[str, Any]) -> None:
        """Append a row's lines, or why it has none."""
        self._rows.append({"section": section, "row": name, **result})
        self._data.write_text(json.dumps(self._rows, indent=1), encoding="utf-8")
        lines = [table_line(Line(**line)) for line in result.get("lines", [])]
        if "error" in result:
            lines = [f"| {name} | {'| ' * 8}{result['error'].replace('|', '/')} |"]
        self.write("".join(f"{line}\n" for line in lines))


def table_line(line: Line) -> str:
    """A line of the table; what is not known stays empty."""
    faster = line.theirs / line.ours if line.theirs is not None and line.ours else None
    over = line.ours / line.floor if line.floor else None
    cells = [
        line.work, f"{line.ours:.3f}", _number(line.theirs, 3), _number(faster, 2), line.wanted,
        _number(line.floor, 3), _number(over, 1), _number(line.our_memory, 0), _number(line.their_memory, 0), line.note,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def measure_all(options: argparse.Namespace) -> int:
    """Measure every row wanted, in both arithmetics, as long as there is time."""
    end = time.monotonic() + 60 * options.minutes
    report = Report(options.out)
    for tf32 in (True,) if options.tf32_only else (False, True):
        options.tf32 = tf32
        section = "TF32" if tf32 else "float32"
        found = in_own_process("device", options, max(_LEAST_SECONDS, end - time.monotonic()), None)
        if "error" in found:
            report.add(section, "device", found)
            return 1
        speeds = Speeds(**found["speeds"])
        reached = f"{speeds.bandwidth / 1e9:.0f} GB/s, {2 * speeds.products / 1e12:.1f} TFLOP/s"
        report.write(f"\n## {section}\n\n{found['device']}: {reached}\n\n{HEAD}")
        for name in options.rows or gpu_rows.ROWS:
            left = end - time.monotonic()
            enough = left > _LEAST_SECONDS
            seconds = min(options.row_seconds, left)
            result = in_own_process(name, options, seconds, speeds) if enough else {"error": "no time was left"}
            report.add(section, name, result)
        if not tf32 and options.tests:
            report.write(f"\n{run_tests(end - time.monotonic())}\n")
    return 0


def run_tests(seconds: float) -> str:
    """The tests that need a GPU: the last line that pytest prints."""
    if seconds < _LEAST_SECONDS:
        return "`pytest -m gpu`: no time was left"
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "--tb=short", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=ROOT, check=False)
    except subprocess.TimeoutExpired as error:
        shown = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        return f"`pytest -m gpu`: stopped after {seconds:.0f} s\n\n```\n{shown[-2000:]}\n```"
    lines = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return "\n".join([f"`pytest -m gpu`: {lines[-1] if lines else done.stderr[-400:]}", *(f"- {x}" for x in failed)])


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", help=f"of: {', '.join(gpu_rows.ROWS)} (all)")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder for the results")
    parser.add_argument("--runs", type=int, default=15, help="how often each side runs")
    parser.add_argument("--minutes", type=float, default=9.0, help="how long all may take")
    parser.add_argument("--row-seconds", type=float, default=120.0, help="how long one row may take")
    parser.add_argument("--autotune", action="store_true", help="time cuDNN's plans, on both sides")
    parser.add_argument("--tf32-only", action="store_true", help="leave exact products out")
    parser.add_argument("--tests", action="store_true", help="run the tests that need a GPU as well")
    parser.add_argument("--smoke", action="store_true", help="small sizes, on the CPU where there is no GPU")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--tf32", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--speeds", type=float, nargs=2, default=(1e9, 1e9), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = [name for name in options.rows if name not in gpu_rows.ROWS]
    if unknown:
        parser.error(f"no row is called {unknown[0]!r}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all rows, or be the process of one."""
    options = parse(arguments)
    if not options.row:
        return measure_all(options)
    try:
        result = run_row(options)
    except Exception as error:  # a row that fails is a line that says why, whatever it was
        result = {"error": f"{type(error).__name__}: {error}"}
    print(f"{MARK}{json.dumps(result)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
