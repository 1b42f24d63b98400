"""Inference beside ONNX Runtime, OpenVINO and OpenCV dnn, interleaved in one process.

``python -m benchmarks.inference [NET...] [--threads N] [--batch N] [--memory]`` in an environment with the extra
``bench``. One thread is timed in processor time, several on the wall. NET is a function of `benchmarks.classic` or
`benchmarks.small_nets`, or ``small`` or ``large`` (both unless told). Figures are medians of the ratios of neighbouring
runs, the peer's time over ours: above 1 means that ours is faster. Weights and inputs are random; outputs are compared.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.classic import LARGE, Make
from benchmarks.random_weights import fill
from benchmarks.small_nets import SMALL

Array = np.ndarray[Any, Any]
Run = Callable[[], Array]
PAGE, END = Path(__file__).parent.parent / "docs" / "performance.md", "<!-- end of the table -->"
PEERS = ("onnxruntime", "openvino", "opencv")
_PAUSE = 0.005
"""Seconds before each run, for other libraries' threads to go to sleep."""
_SECONDS = 1.5
"""Of each net and program, at most, and at least so many runs:"""
_LEAST = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=["small", "large"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--memory", action="store_true", help="peak resident memory, each program in its own process")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--alone", choices=("segcaffe", *PEERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    groups = {"small": SMALL, "large": LARGE} | {make.__name__: (make,) for make in (*SMALL, *LARGE)}
    unknown = ", ".join(name for name in options.nets if name not in groups)
    if unknown:
        parser.error(f"no net is called {unknown}; there are: {', '.join(groups)}")
    makes = list(dict.fromkeys(make for name in options.nets for make in groups[name]))
    if options.alone:
        print(_peak_alone(makes[0], options))
        return
    header = "| net | " + ("peak, MB" if options.memory else "ours, ms") + " | " + " | ".join(PEERS) + " | outputs |"
    lines = [header, "|---" * (header.count("|") - 1) + "|"]
    print(*lines, sep="\n")
    rows = {}
    for make in makes:
        line, rows[make] = (_memory_row if options.memory else _time_row)(make, options)
        print(line, flush=True)
        lines.append(line)
    for name, members in (("small", SMALL), ("large", LARGE)):
        lines += _summary(name, [rows[make] for make in members if make in rows])
    print(*lines[2 + len(makes) :], sep="\n")
    if options.write:
        _write_table(options, lines)


def _summary(name: str, rows: Sequence[Sequence[float]]) -> list[str]:
    """The geometric mean and the least of each column; against the fastest, where programs are timed."""
    if not rows:
        return []
    columns = list(zip(*rows, strict=True))
    means = " | ".join(f"{math.exp(sum(map(math.log, column)) / len(column)):.2f}" for column in columns)
    worst = " | ".join(f"{min(column):.2f}" for column in columns)
    fastest = [min(row) for row in rows]
    overall = f"{math.exp(sum(map(math.log, fastest)) / len(fastest)):.2f}, least {min(fastest):.2f}"
    return [
        f"| *{name}: geometric mean* | | {means} | best peer of each net: {overall} |",
        f"| *{name}: least* | | {worst} | |",
    ]


def _write_table(options: argparse.Namespace, lines: Sequence[str]) -> None:
    """Replace the table of these options in the page."""
    kind = " --memory" if options.memory else ""
    begin = f"<!-- inference --threads {options.threads} --batch {options.batch}{kind} -->"
    page = PAGE.read_text(encoding="utf-8")
    before, found, rest = page.partition(begin)
    if not found:
        raise SystemExit(f"{PAGE} has no place for this table: {begin}")
    PAGE.write_text(before + "\n".join([begin, "", *lines, "", END]) + rest.partition(END)[2], encoding="utf-8")


def _time_row(make: Make, options: argparse.Namespace) -> tuple[str, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        files, values = _write(make, options.batch, Path(folder))
        runs = {name: _program(name, files, values, options.threads) for name in ("segcaffe", *PEERS)}
        wanted = runs["segcaffe"]().copy()
        error = max(float(np.abs(run().reshape(wanted.shape) - wanted).max()) for run in runs.values())
        times = _interleaved(list(runs.values()), time.process_time if options.threads == 1 else time.perf_counter)
    ratios = [median(theirs / ours for theirs, ours in zip(other, times[0], strict=True)) for other in times[1:]]
    cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
    line = f"| {make.__name__} | {1e3 * median(times[0]):.3f} | {cells} | {error / np.abs(wanted).max():.0e} |"
    return line, ratios


def _memory_row(make: Make, options: argparse.Namespace) -> tuple[str, list[float]]:
    def peak(program: str) -> float:
        command = [sys.executable, "-m", "benchmarks.inference", make.__name__, "--alone", program]
        command += ["--threads", str(options.threads), "--batch", str(options.batch)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])

    ours, *others = (peak(program) for program in ("segcaffe", *PEERS))
    line = f"| {make.__name__} | {ours:.0f} | {' | '.join(f'{other:.0f}' for other in others)} | |"
    return line, [other / ours for other in others]


def _peak_alone(make: Make, options: argparse.Namespace) -> float:
    """Peak resident memory of a process that runs one program's net, in MB; the net was written by another process."""
    with tempfile.TemporaryDirectory() as folder:
        child = os.fork()
        if child == 0:
            _write(make, options.batch, Path(folder))
            os._exit(0)
        os.waitpid(child, 0)
        files = Path(folder) / "net"
        run = _program(options.alone, files, np.load(f"{files}.npy"), options.threads)
        for _ in range(3):
            run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _interleaved(runs: Sequence[Run], clock: Callable[[], float]) -> list[list[float]]:
    """The times of each, run by turns; the first rounds do not count."""
    times: list[list[float]] = [[] for _ in runs]
    begin, count = time.perf_counter(), 0
    while count < _LEAST or time.perf_counter() - begin < _SECONDS * len(runs):
        count += 1
        for run, kept in zip(runs, times, strict=True):
            time.sleep(_PAUSE)
            start = clock()
            run()
            kept.append(clock() - start)
    return [kept[5 if count > 30 else 1 :] for kept in times]


def _write(make: Make, batch: int, folder: Path) -> tuple[Path, Array]:
    """Write a net with random weights, as Caffe's files and as ONNX, and values for its input."""
    import segcaffe
    from segcaffe.cli.main import main as command

    files = folder / "net"
    files.with_suffix(".prototxt").write_text(make(batch))
    net = segcaffe.Net(files.with_suffix(".prototxt"), phase=segcaffe.TEST)
    fill(net)
    net.save(files.with_suffix(".caffemodel"))
    values = np.random.default_rng(0).standard_normal(net.blobs["data"].shape).astype(np.float32)
    np.save(files.with_suffix(".npy"), values)
    paths = [str(files.with_suffix(suffix)) for suffix in (".prototxt", ".caffemodel", ".onnx")]
    with redirect_stdout(sys.stderr):
        refused = command(["export", "--no-check", *paths, "--batch", str(batch)])
    if refused:
        raise SystemExit(f"{make.__name__} cannot be written as ONNX.")
    return files, values


def _program(name: str, files: Path, values: Array, threads: int) -> Run:
    """A function that runs the net of these files once."""
    makers = {"segcaffe": _segcaffe, "onnxruntime": _onnxruntime, "openvino": _openvino, "opencv": _opencv}
    return makers[name](files, values, threads)


def _segcaffe(files: Path, values: Array, threads: int) -> Run:
    import segcaffe
    from segcaffe.threads import parallel

    parallel.set_num_threads(threads)
    weights = files.with_suffix(".caffemodel")
    net = segcaffe.Net(files.with_suffix(".prototxt"), phase=segcaffe.TEST, weights=weights, share_memory=True)

    def run() -> Array:
        net.blobs["data"].data[...] = values
        return net.forward()["prob"]

    return run


def _onnxruntime(files: Path, values: Array, threads: int) -> Run:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(files.with_suffix(".onnx"), settings, providers=providers)
    prob = [output.name for output in session.get_outputs()].index("prob")
    return lambda: session.run(None, {"data": values})[prob]


def _openvino(files: Path, values: Array, threads: int) -> Run:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(files.with_suffix(".onnx"), "CPU", settings).create_infer_request()
    return lambda: request.infer({0: values})["prob"]


def _opencv(files: Path, values: Array, threads: int) -> Run:
    import cv2

    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromCaffe(*(str(files.with_suffix(suffix)) for suffix in (".prototxt", ".caffemodel")))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)

    def run() -> Array:
        net.setInput(values)
        return net.forward("prob")

    return run


if __name__ == "__main__":
    main()
