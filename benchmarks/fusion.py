"""What fusion and the memory plan save: a net with 14 segmentation-aware convolutions, fused and as it is written.

Run: python -m benchmarks.fusion [--model configs/vgg16/deploy.prototxt] [--size 321] [--runs 5]
Times are of both nets in turn in one process, with two threads on the wall and with one in processor time. Memory is
the peak of a process of its own, less that of one which has only loaded the package.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import report
from benchmarks.timing import interleave
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import read_net
from segcaffe.threads import parallel

MODES = {"fused": (True, True), "fused, own memory": (True, False), "unfused": (False, False)}
"""By name: whether the net is fused, and whether its blobs share memory."""


def build(model: str, size: int, fuse: bool, share_memory: bool) -> Net:
    """A deploy net for square images, with random inputs and weights that keep the values in range."""
    values = {"HEIGHT": str(size), "WIDTH": str(size), "DATASET": "set", "NUM_LABELS": "21"}
    param = read_net(Path(model), values)
    net = Net(param, caffe_pb2.TEST, fuse=fuse, share_memory=share_memory)
    rng = np.random.default_rng(0)
    for name in net.inputs:
        net.blobs[name].data[...] = rng.standard_normal(net.blobs[name].shape, np.float32)
    for blob in net.learnable_params:
        if blob.ndim == 4:
            blob.data[...] = rng.standard_normal(blob.shape, np.float32) * np.sqrt(2 / np.prod(blob.shape[1:]))
    return net


def run(net: Net) -> None:
    """One forward pass."""
    net.forward_from_to(0, len(net.layers) - 1)


def peak_bytes(model: str, size: int, mode: str) -> int:
    """Peak resident memory of a process that builds the net and runs it twice; without a model, only imports."""
    command = [sys.executable, "-m", "benchmarks.fusion", "--child", mode, "--model", model, "--size", str(size)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def child(model: str, size: int, mode: str) -> None:
    """Print the peak memory of this process."""
    if mode in MODES:
        net = build(model, size, *MODES[mode])
        run(net)
        run(net)
    else:
        run(build(model, 17, True, True))
    # Not getrusage: its figure is inherited from the parent that started this process.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(1024 * int(peak.split()[1]))


def compare(model: str, size: int, runs: int) -> None:
    """Time and memory of the net, fused and not."""
    nets = [build(model, size, *MODES[mode]) for mode in ("fused", "unfused")]
    for threads, clock in ((2, time.perf_counter), (1, time.thread_time)):
        parallel.set_num_threads(threads)
        pair = interleave(lambda: run(nets[0]), lambda: run(nets[1]), runs=runs, warmup=1, clock=clock)
        print(pair.row(f"forward at {size}x{size}, {threads} threads"))
    plan, base = nets[0].plan_memory(), peak_bytes(model, size, "base")
    nets.clear()
    for mode in MODES:
        print(f"peak memory, {mode}: {(peak_bytes(model, size, mode) - base) / 1e6:.0f} MB above the package's own")
    print(f"planned for fused: {plan.total / 1e6:.0f} MB, most in use at {plan.peak_step}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="configs/vgg16/deploy.prototxt")
    parser.add_argument("--size", type=int, default=321)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.model, options.size, options.child)
    else:
        print(report())
        compare(options.model, options.size, options.runs)


if __name__ == "__main__":
    main()
