"""What a terminal shows of a training; run in a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numba
import pytest

from segcaffe.cli import common
from segcaffe.cli.compilation import compilation_shown
from segcaffe.cli.training_view import training_view
from segcaffe.errors import DataError
from segcaffe.net import position
from segcaffe.solver.registry import get_solver
from segcaffe.solver.solver import Progress
from tests.conftest import ROOT

NET = """
layer { name: "data" type: "DummyData" top: "data" dummy_data_param {
  shape { dim: 2 dim: 3 dim: 5 dim: 5 } data_filler { type: "gaussian" } } }
layer { name: "label" type: "DummyData" top: "label" dummy_data_param { shape { dim: 2 dim: 1 dim: 5 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "SegAccuracy" bottom: "conv" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 40 snapshot: 20 snapshot_prefix: "out/s"
test_iter: 1 test_interval: 20
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


def on_a_terminal(
    folder: Path, *words: str, act: Callable[[str, int], object] = lambda shown, pid: None
) -> tuple[int, str]:
    """Status of a command and what it showed; ``act`` is given what is shown so far and the process."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "segcaffe.cli.main", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    shown, end = "", time.monotonic() + 120
    try:
        while time.monotonic() < end:
            if select.select([leader], [], [], 0.1)[0]:
                try:
                    piece = os.read(leader, 1 << 16)
                except OSError:  # Linux' way of saying that nobody writes any more.
                    break
                if not piece:
                    break
                shown += piece.decode(errors="replace")
            act(shown, process.pid)
        return process.wait(timeout=60), shown
    finally:
        process.kill()
        os.close(leader)


def lines_of(shown: str) -> list[str]:
    """What was printed as lines, without the bar's states."""
    pieces = (piece.strip() for piece in re.split(r"[\r\n]", shown))
    return [
        piece for piece in pieces if piece and "it/s]" not in piece and "iter/s" not in piece and "s/iter" not in piece
    ]


def test_a_training_tells_scores_snapshots_and_its_log(folder: Path) -> None:
    status, shown = on_a_terminal(folder, "train", "--solver", "solver.prototxt")
    assert status == 0
    lines = lines_of(shown)
    assert lines[0] == "Log: out/s_train.log"
    assert "Iteration 20, snapshot: out/s_iter_20.caffemodel and out/s_iter_20.solverstate" in lines
    tested = [line for line in lines if line.startswith("Iteration 40, test: ")]
    assert len(tested) == 1
    assert re.search(
        r"accuracy \S+ \(pixel accuracy\), \S+ \(mean class accuracy\), \S+ \(mean IoU\); loss \S+$", tested[0]
    )
    assert "net output" not in shown
    assert "Test net output #0: accuracy" in (folder / "out" / "s_train.log").read_text()
    status, shown = on_a_terminal(
        folder, "train", "--solver", "solver.prototxt", "--snapshot", "out/s_iter_40.solverstate"
    )
    assert status == 0
    assert "out/s_iter_40.solverstate is at iteration 40, and max_iter is 40: nothing is left to train." in shown


def test_ctrl_c_says_what_it_does_and_how_to_go_on(folder: Path) -> None:
    sent: list[int] = []

    def interrupt(shown: str, pid: int) -> None:
        if not sent and re.search(r"\b[1-9]\d*/1000000", shown):
            os.kill(pid, signal.SIGINT)
            sent.append(pid)

    words = ["train", "--solver", "solver.prototxt", "--max_iter", "1000000"]
    status, shown = on_a_terminal(folder, *words, act=interrupt)
    assert sent
    assert status == 0
    assert "Ctrl-C: the training stops after this iteration, with a snapshot." in shown
    match = re.search(
        r"Stopped after iteration (\d+) of 1000000\. To go on, give .* --snapshot (\S+) \(in place", shown
    )
    assert match is not None
    assert match[2] == f"out/s_iter_{match[1]}.solverstate"
    assert (folder / match[2]).exists()


def test_the_time_of_the_first_iteration_does_not_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Minutes of compiling before the first iteration do not become hours that are left."""
    monkeypatch.chdir(folder)
    solver = get_solver("solver.prototxt")
    with training_view(solver, shown=True):
        (advance,) = solver._progress
        bar = advance.bar  # type: ignore[attr-defined]
        bar.start_t -= 300
        bar.last_print_t -= 300
        advance(Progress(1, 0.5, 0.1))
        assert bar.format_dict["elapsed"] < 100
        time.sleep(0.2)
        advance(Progress(2, 0.5, 0.1))
        assert bar.format_dict["elapsed"] < 100
        assert 1 / bar.format_dict["rate"] < 10 if bar.format_dict["rate"] else True
    assert "2/40" in capsys.readouterr().err


def test_a_bar_of_unknown_length_is_not_shown_ahead_of_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(common, "shows_progress", lambda: True)
    with pytest.raises(DataError), common.progress(None, "label map"):
        raise DataError("nothing to do")
    assert not capsys.readouterr().err
    with common.progress(None, "label map") as advance:
        time.sleep(2 * common._UNKNOWN_WAITS)
        advance()
    assert "1 label map" in capsys.readouterr().err


def test_compiling_tells_the_layer_it_is_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(position, "now", (2, 16, True))
    told: list[str] = []
    bar = SimpleNamespace(postfix="loss 0.3")

    def set_postfix_str(text: str, refresh: bool = True) -> None:
        bar.postfix = text
        told.append(text)

    bar.set_postfix_str = set_postfix_str
    with compilation_shown(bar):
        # Each closure is a function that Numba has not seen.
        numba.njit(lambda x: x + 1)(1)
        numba.njit(lambda x: x + 2)(1)
    assert told[:2] == [f"compiling kernels, once: {done} done, layer 14 of 16, backward" for done in (0, 1)]
    # The bar that stays on the terminal ends with the last iteration's loss.
    assert told[2:] == ["loss 0.3"]
