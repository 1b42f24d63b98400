"""What nets take, planned and measured, with --recompute and without: python -m benchmarks.memory [ROW ...] [--size N].

Each line is a process of its own. It first runs the same net on small images, so that libraries and compiled kernels
are there, then builds the net and runs it twice (in training: whole iterations with momentum). Measured is the peak of
resident memory from then on. Planned is `Net.plan_memory` with the convolutions' working memory, to which training
adds the solver's history, and Python's objects. Time is that of the second run, with one thread, in processor time.
Weights are random.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import benchmarks.nets as nets
from segcaffe.kernels.vector import scratch
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.solver.solver import Solver
from segcaffe.threads import parallel

ROWS = {
    "vgg16 deploy": ("vgg16", "deploy", None),
    "vgg16 train": ("vgg16", "train", None),
    "vgg16 train, auto": ("vgg16", "train", "auto"),
    "resnet deploy": ("resnet", "deploy", None),
    "resnet train": ("resnet", "train", None),
    "resnet train, auto": ("resnet", "train", "auto"),
}
WARM_SIZE = 65
OBJECT_BYTES = 7000
"""What Python's objects of a layer take, about."""
HEADER = (
    "| net | planned MB | blobs, parameters, kept, working, history, objects | measured MB | measured / planned | s |\n"
    "|---|---|---|---|---|---|"
)


def make(row: str, size: int) -> tuple[Net, Callable[[], object], int]:
    """The net of a row, a function that runs it once, and the bytes of the solver's history."""
    config, file, recompute = ROWS[row]
    param = nets._config(config, file, size)
    if file == "train":
        solver = nets._solver(param, {"share_memory": True, "recompute": recompute})
        fill(solver.net)
        return solver.net, lambda: solver.step(1), history_bytes(solver)
    net = Net(param, caffe_pb2.TEST, share_memory=True)
    fill(net)
    return net, lambda: net.forward_from_to(0, len(net.layers) - 1), 0


def fill(net: Net) -> None:
    """Random weights and inputs; neighbours' embeddings lie near each other, as those of a trained net do."""
    nets.fill(net)
    net.params["emb"][0].data[...] *= 0.01


def history_bytes(solver: Solver) -> int:
    """What the solver keeps of parameters that learn."""
    rates = solver.net.params_lr * solver.num_histories
    return 4 * sum(blob.count for blob, rate in zip(solver.history, rates, strict=True) if rate)


def measure(row: str, size: int) -> None:
    """Print the line of a row as JSON."""
    parallel.set_num_threads(1)
    make(row, WARM_SIZE)[1]()
    gc.collect()
    scratch.release()
    # What the small net gave back must not be there for the large one.
    trim()
    before = status("VmRSS")
    net, run, history = make(row, size)
    # Making random weights is not the net's work.
    trim()
    run()
    start = time.process_time()
    run()
    seconds = time.process_time() - start
    plan = net.plan_memory()
    parts = [plan.shared + plan.own, plan.params, plan.saved, plan.workspace, history, OBJECT_BYTES * len(net.layers)]
    print(json.dumps([parts, status("VmHWM") - before, seconds]))


def trim() -> None:
    """Give free memory back to the system, and begin a new count of the peak."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def status(name: str) -> int:
    """Bytes of an entry of the process's status."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of: {', '.join(ROWS)}")
    parser.add_argument("--size", type=int, default=321)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(options.child, options.size)
        return
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}. Rows: {', '.join(ROWS)}")
    print(HEADER)
    for row in options.rows or ROWS:
        command = [sys.executable, "-m", "benchmarks.memory", "--child", row, "--size", str(options.size)]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        parts, measured, seconds = json.loads(found.stdout.splitlines()[-1])
        planned = sum(parts)
        cells = [f"{value / 1e6:.0f}" for value in (planned, measured)]
        split = ", ".join(f"{value / 1e6:.0f}" for value in parts)
        print(f"| {row} | {cells[0]} | {split} | {cells[1]} | {measured / planned:.2f} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
