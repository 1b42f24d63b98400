"""Kills a training run that snapshots every other iteration, again and again, and goes on from what it left.

By hand: ``python -m tests.snapshot.kill --count 200``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import re
import signal
import tempfile
import time
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from segcaffe.snapshot.caffemodel import load_weights
from segcaffe.snapshot.solverstate import load_state

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 8 dim: 64 } shape { dim: 8 dim: 400 } data_filler { type: "gaussian" } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 400 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" type: "Adam" momentum: 0.9 base_lr: 0.001 lr_policy: "fixed" max_iter: 1000000000 random_seed: 3
snapshot: 2 snapshot_prefix: "snap" solver_mode: CPU snapshot_format: %s
"""


@dataclass
class Figures:
    """What happened over all kills."""

    kills: int = 0
    resumed: int = 0
    during_a_write: int = 0
    iterations: int = 0


def kill_often(folder: Path, count: int, file_format: str) -> Figures:
    """Start, kill and check ``count`` runs in ``folder``; AssertionError for a file that is unreadable or not whole."""
    (folder / "net.prototxt").write_text(NET)
    (folder / "solver.prototxt").write_text(SOLVER % file_format)
    rng = random.Random(count)
    figures = Figures()
    longest = 0.15
    context = multiprocessing.get_context("fork")
    for _ in range(count):
        newest = _newest(folder)
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_train, args=(folder, newest, theirs))
        process.start()
        assert ours.poll(60), "the run did not start"
        started_at = ours.recv()
        assert started_at == (0 if newest is None else _iteration(newest))
        figures.resumed += newest is not None
        assert ours.poll(60), "the run did not come to its first iteration"
        time.sleep(rng.uniform(0, longest))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        figures.kills += 1
        figures.during_a_write += _check(folder)
        if _newest(folder) is None:
            # A machine so busy that a run comes to no snapshot in this time: give the next one more.
            longest *= 2
    newest = _newest(folder)
    figures.iterations = 0 if newest is None else _iteration(newest)
    return figures


def _train(folder: Path, state: Path | None, ready: Connection) -> None:
    from segcaffe.solver.registry import get_solver

    warnings.simplefilter("error")
    os.chdir(folder)
    solver = get_solver("solver.prototxt")
    if state is not None:
        solver.restore(state.name)
    ready.send(solver.iter)
    solver.step(1)
    ready.send(solver.iter)
    solver.step(1_000_000_000)


def _check(folder: Path) -> bool:
    """Read every file that is there; whether the run was killed while it wrote one. Old snapshots are removed."""
    states = sorted(folder.glob("snap_*.solverstate*"), key=_iteration)
    for path in (*folder.glob("snap_*.caffemodel*"), *(p for p in states if p.suffix != ".json")):
        if ".solverstate" in path.name:
            state = load_state(path)
            assert state.iter == _iteration(path)
            assert (folder / state.learned_net).exists()
            assert all(np.isfinite(values).all() for values in state.history)
            assert len(state.history) == 4
        else:
            (ip,) = (layer for layer in load_weights(path).layer if layer.name == "ip")
            assert [len(blob.data) for blob in ip.blobs] == [25600, 400]
    halves = list(folder.glob(".*.tmp"))
    whole = [path for path in states if path.suffix != ".json"]
    for path in (*halves, *(p for p in folder.glob("snap_*") if whole and _iteration(p) < _iteration(whole[-1]))):
        path.unlink()
    return bool(halves)


def _newest(folder: Path) -> Path | None:
    states = [path for path in folder.glob("snap_*.solverstate*") if path.suffix != ".json"]
    return max(states, key=_iteration, default=None)


def _iteration(path: Path) -> int:
    match = re.search(r"_iter_(\d+)", path.name)
    assert match is not None
    return int(match[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    for file_format in ("BINARYPROTO", "HDF5"):
        with tempfile.TemporaryDirectory() as folder:
            print(file_format, kill_often(Path(folder), options.count // 2, file_format))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
