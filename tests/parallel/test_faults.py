"""A rank that fails ends all, within seconds, with a sentence that names it; what was saved is whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segcaffe.solver.registry import get_solver
from tests.parallel.launching import environment, launch, mpiexec

FAILING = """
import os, signal
import caffe

class Failing(caffe.Layer):
    def setup(self, bottom, top):
        self.passes = 0
    def reshape(self, bottom, top):
        top[0].reshape(2, 3)
    def forward(self, bottom, top):
        top[0].data[...] = self.passes
        self.passes += 1
        if self.passes == 6 and os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK")) == "%d":
            %s
    def backward(self, top, propagate_down, bottom):
        pass
"""
NET = """
layer { name: "failing" type: "Python" top: "data" python_param { module: "failing" layer: "Failing" } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "target" type: "DummyData" top: "target" dummy_data_param { shape { dim: 2 dim: 3 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""
SOLVER = """net: "net.prototxt" type: "Adam" momentum: 0.9 base_lr: 0.01 lr_policy: "fixed" random_seed: 1
max_iter: 1000 snapshot: 2 snapshot_prefix: "snap" """


def test_an_interrupt_stops_all_after_one_snapshot(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING % (0, "open('reached', 'w').close()"))
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER.replace("snapshot: 2", "snapshot: 0").replace("1000", "1000000"))
    line = [mpiexec(), "-n", "2", sys.executable, "-m", "segcaffe.cli.main", "train", "--solver", "solver.prototxt"]
    with subprocess.Popen(line, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "reached").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Optimization stopped early." in errors
    assert len(list(tmp_path.glob("snap_iter_*.solverstate"))) == 1


EARLY = """
from segcaffe.parallel import together
with together() as ranks:
    if ranks.rank == 1:
        raise ValueError("the disk is on fire")
    ranks.gather(None)
"""


def test_an_error_at_the_very_start_is_told_before_the_launcher_ends_the_other(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(EARLY)
    for _ in range(3):
        run = launch(2, "early.py", folder=tmp_path, seconds=90)
        assert run.returncode != 0
        assert "segcaffe: rank 1 on" in run.stderr
        assert "ended without a word" not in run.stderr


@pytest.mark.parametrize(
    ("rank", "failure", "told"),
    [
        (0, "os.kill(os.getpid(), signal.SIGKILL)", r"rank 0 (process"),
        (1, "os.kill(os.getpid(), signal.SIGKILL)", r"rank 1 (process"),
        (1, "raise ValueError('the disk is on fire')", "the disk is on fire"),
        (1, "raise SystemExit(0)", "none may leave earlier"),
    ],
    ids=["first killed", "second killed", "error", "leaves without an error"],
)
def test_a_rank_that_fails_ends_all(
    rank: int, failure: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing.py").write_text(FAILING % (rank, failure))
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    before = time.monotonic()
    run = launch(2, "-m", "segcaffe.cli.main", "train", "--solver", "solver.prototxt", folder=tmp_path, seconds=90)
    assert time.monotonic() - before < 90
    assert run.returncode != 0
    line = next(line for line in run.stderr.splitlines() if line.startswith("segcaffe train: "))
    assert f"rank {rank}" in line, run.stderr
    assert told in run.stderr
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    solver = get_solver("solver.prototxt")
    solver.restore("snap_iter_4.solverstate")
    assert solver.iter == 4
