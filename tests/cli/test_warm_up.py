"""Kernels compiled ahead: a run behind it compiles nothing, and an edit afterwards is not passed over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import segcaffe
from segcaffe.cli import compilation, warm_up
from segcaffe.cli.main import build_parser, main
from segcaffe.jit import ahead

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } } }
layer { name: "exp" type: "Exp" bottom: "x" top: "exp" }
layer { name: "prob" type: "Softmax" bottom: "exp" top: "prob" }
"""
RUN = """
import json, sys
import numpy as np
from numba.core import event
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
with event.install_recorder("numba:compile") as compilations:
    net = Net(sys.argv[1], caffe_pb2.TEST)
    net.blobs["x"].data[...] = np.arange(32).reshape(1, 2, 4, 4) / 32
    values = net.forward()["prob"].ravel().tolist()
print(json.dumps([sum(e.is_start for _, e in compilations.buffer), values]))
"""


def _run(package: Path, folder: Path, *arguments: str) -> str:
    unset = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    places = {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": str(package)}
    command = [sys.executable, *arguments]
    run = subprocess.run(command, env=unset | places, cwd=folder, text=True, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def _net(folder: Path) -> str:
    (folder / "net.prototxt").write_text(NET)
    return str(folder / "net.prototxt")


def test_a_run_behind_it_compiles_nothing(tmp_path: Path) -> None:
    package, net = Path(segcaffe.__file__).parents[1], _net(tmp_path)
    command = ("-m", "segcaffe.cli.main", "warm-up", net, "--jobs", "2")
    told = _run(package, tmp_path, *command)
    assert told.startswith(f"{net}: ")
    assert "0 kernels" not in told
    assert _run(package, tmp_path, *command) == f"{net}: 0 kernels compiled\n"
    assert json.loads(_run(package, tmp_path, "-c", RUN, net))[0] == 0


@pytest.mark.slow
def test_an_edit_behind_it_is_run(tmp_path: Path) -> None:
    shutil.copytree(Path(segcaffe.__file__).parent, tmp_path / "segcaffe", ignore=shutil.ignore_patterns("__pycache__"))
    net = _net(tmp_path)
    _run(tmp_path, tmp_path, "-m", "segcaffe.cli.main", "warm-up", net)
    compiled, values = json.loads(_run(tmp_path, tmp_path, "-c", RUN, net))
    assert compiled == 0
    path = tmp_path / "segcaffe" / "kernels" / "softmax" / "cpu.py"
    text = path.read_text()
    assert text.count("total[i] = 1 / total[i]") == 1
    path.write_text(text.replace("total[i] = 1 / total[i]", "total[i] = 2 / total[i]"))
    compiled, twice = json.loads(_run(tmp_path, tmp_path, "-c", RUN, net))
    assert compiled > 0
    assert twice == pytest.approx([2 * value for value in values])


def test_its_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warm-up", _net(tmp_path), "--jobs", "0"]) == 2
    assert "--jobs must be at least 1" in capsys.readouterr().err
    assert main(["warm-up", "nowhere.prototxt"]) == 2
    assert "NET nowhere.prototxt: does not exist" in capsys.readouterr().err


def test_without_a_net_it_takes_those_that_come_with_segcaffe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segcaffe.net.net.Net", lambda path, phase, **settings: path)
    names = [name for name, _ in warm_up._nets(build_parser().parse_args(["warm-up"]))]
    assert "tiny/lenet_deploy.prototxt" in names
    assert "resnet/deploy.prototxt" in names


class _Bar:
    made: list[_Bar]

    def __init__(self, total: int, **options: Any) -> None:
        self.n, self.total, self.closed = 0, total, False
        _Bar.made.append(self)

    def update(self, count: int) -> None:
        self.n += count

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("terminal", "json", "shown"), [(True, None, 1), (True, "out", 0), (False, None, 0)])
def test_progress_on_a_terminal(terminal: bool, json: Any, shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _Bar.made = []
    monkeypatch.setattr(compilation, "shows_progress", lambda: terminal)
    monkeypatch.setattr(compilation, "bar_type", lambda: _Bar)
    options = build_parser().parse_args(["warm-up"])
    options.json = json
    with compilation.ahead_shown(options):
        for done in range(2):
            for tell in ahead._progress:
                tell(done, 2)
        assert [(bar.n, bar.closed) for bar in _Bar.made] == [(1, False)] * shown
        for tell in ahead._progress:
            tell(2, 2)
        assert [(bar.n, bar.closed) for bar in _Bar.made] == [(2, True)] * shown
    assert not ahead._progress
