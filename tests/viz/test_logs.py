"""Figures read from logs, ours and old ones, and drawn."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import cv2
import matplotlib
import pytest

from segcaffe.data.files import replacing
from segcaffe.errors import DataError
from segcaffe.viz.logs import read_lines, read_log
from segcaffe.viz.training import panels_of, plot_runs, write_csv

OLD = """
I0311 13:27:00.1 1 solver.cpp:341] Iteration 0, Testing net (#0)
I0311 13:27:00.1 1 solver.cpp:409]     Test net output #0: accuracy = 0.0898
I0311 13:27:00.1 1 solver.cpp:409]     Test net output #1: loss = 2.37 (* 1 = 2.37 loss)
I0311 13:27:00.1 1 solver.cpp:237] Iteration 0, loss = 2.5
I0311 13:27:00.1 1 solver.cpp:253]     Train net output #0: loss = 2.4 (* 1 = 2.4 loss)
I0311 13:27:00.1 1 sgd_solver.cpp:106] Iteration 0, lr = 0.01
"""
NEW = """
I0311 13:27:00.1 1 solver.py:237] Iteration 100 (12.3 iter/s, 8.1s/100 iters), loss = 1.5e-05
I0311 13:27:00.1 1 report.py:253]     Train net output #0: seg = 0.1
I0311 13:27:00.1 1 report.py:253]     Train net output #1: seg = 0.2
I0311 13:27:00.1 1 solver.py:106] Iteration 100, lr = 1e-05
I0311 13:27:00.1 1 solver.py:341] Iteration 100, Testing net (#1)
I0311 13:27:00.1 1 report.py:409]     Test net output #0: accuracy = nan
"""


def test_lines() -> None:
    series = read_lines((OLD + NEW).splitlines())
    assert series["loss"] == [(0, 2.5), (100, 1.5e-05)]
    assert series["lr"] == [(0, 0.01), (100, 1e-05)]
    assert series["test accuracy"] == [(0, 0.0898)]
    assert series["test loss"] == [(0, 2.37)]
    assert series["train loss"] == [(0, 2.4)]
    assert series["train seg"] == [(100, 0.1)]
    assert series["train seg[1]"] == [(100, 0.2)]
    assert series["test#1 accuracy"][0][0] == 100


def test_values_that_are_named_or_summed_up() -> None:
    told = ["accuracy = 0.9 (pixel accuracy)", "accuracy = 0.7 (mean IoU)", "loss = 2 (* 1 = 2 loss)",
            "scores = 0.25 (mean of 9000 values)"]  # fmt: skip
    lines = [f"    Test net output #{i}: {text}" for i, text in enumerate(told)]
    series = read_lines(["Iteration 20, Testing net (#0)", *lines])
    assert series == {
        "test accuracy (pixel accuracy)": [(20, 0.9)],
        "test accuracy (mean IoU)": [(20, 0.7)],
        "test loss": [(20, 2)],
        "test scores": [(20, 0.25)],
    }


def test_a_continued_run_replaces_what_it_repeats() -> None:
    lines = [f"Iteration {i}, loss = {v}" for i, v in ((0, 1), (10, 2), (20, 3), (10, 4), (20, 5))]
    assert read_lines(lines)["loss"] == [(0, 1), (10, 4), (20, 5)]


def test_the_originals_log(shared: Path) -> None:
    series = read_log(str(shared / "models/lenet_mnist/log.txt"))
    assert series["test accuracy"][-1] == (10000, 0.9918)
    assert series["test loss"][-1] == (10000, 0.0273357)
    assert len(series["loss"]) == 101
    assert series["lr"][0] == (0, 0.01)


def test_no_log(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("hello\n")
    with pytest.raises(DataError, match="training log"):
        read_log(str(tmp_path / "x.log"))
    with pytest.raises(DataError, match=r"y\.log"):
        read_log(str(tmp_path / "y.log"))


def test_drawing(tmp_path: Path) -> None:
    runs = {"first": read_lines(OLD.splitlines()), "second": read_lines((OLD + NEW).splitlines())}
    assert list(panels_of(runs)) == ["loss", "learning rate", "accuracy", "seg", "seg[1]"]
    plot_runs(runs, tmp_path / "plot.png")
    assert cv2.imread(str(tmp_path / "plot.png")) is not None
    write_csv(runs, tmp_path / "table.csv")
    assert "second,loss,100,1.5e-05" in (tmp_path / "table.csv").read_text().splitlines()
    with pytest.raises(DataError, match="format"):
        plot_runs(runs, tmp_path / "plot.xyz")


@pytest.mark.parametrize("name", ["run $a^$", "Stra\udcdfe", "研究"])
def test_runs_with_any_names(tmp_path: Path, name: str) -> None:
    runs = {name: read_lines(NEW.splitlines()), "other": read_lines(OLD.splitlines())}
    plot_runs(runs, tmp_path / "plot.png")
    write_csv(runs, tmp_path / "table.csv")
    assert f"\n{name},loss,".encode("utf-8", "surrogateescape") in (tmp_path / "table.csv").read_bytes()


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with replacing(path, "test") as part:
            part.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="No space left"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


OTHERS = """
I0809 13:40:05.4 21974 solver.cpp:242] Iteration 0, loss = 2.3
I0809 13:40:05.4 21974 solver.cpp:571] Iteration 0 (12.5/s), lr = 0.01
I0809 13:40:06.4 21974 solver.cpp:342] Iteration 20 (34.9 iter/s, 2.86s/20 iter), 0.3/10.7ep, loss = 1.5
I0809 13:40:06.4 21974 sgd_solver.cpp:170] Iteration 20, 0.3/10.7ep, lr = 0.005, m = 0.9, lrm = 0.05, wd = 0.0005
I0809 13:40:07.4 21974 solver.cpp:342] Iteration 40 (-nan iter/s, 0s/20 iters), loss = nan
I0809 13:40:07.4 21974 solver.cpp:342] Iteration 40, Testing net (#0)
"""


def test_lines_of_other_caffes() -> None:
    series = read_lines(OTHERS.splitlines())
    assert series["lr"] == [(0, 0.01), (20, 0.005)]
    assert series["loss"][:2] == [(0, 2.3), (20, 1.5)]
    assert series["loss"][2][0] == 40


def test_our_log_is_read_by_peoples_parsers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They look for the file of Caffe that writes a line, and for its words at their places."""
    from segcaffe.cli.main import main

    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }\n'
        'layer { name: "l" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }\n'
    )
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 4 display: 2 snapshot: 4 snapshot_prefix: "s" '
        "test_iter: 1 test_interval: 2"
    )
    assert main(["train", "--solver", "solver.prototxt", "--cpu"]) == 0
    log = Path("s_train.log").read_text()
    prefix = r"^I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ "
    number = r"[-+]?[\d.]+(?:e[-+]?\d+)?"
    for expected, count in (
        (r"solver\.cpp:\d+\] Solving ", 1),
        (r"caffe\.cpp:\d+\] Starting Optimization$", 1),
        (rf"solver\.cpp:\d+\] Iteration \d+ \({number} iter/s, {number}s/2 iters\), loss = {number}$", 2),
        (rf"solver\.cpp:\d+\]     Train net output #0: loss = {number} \(\* 1 = {number} loss\)$", 2),
        (rf"sgd_solver\.cpp:\d+\] Iteration \d+, lr = {number}$", 2),
        (r"solver\.cpp:\d+\] Iteration \d+, Testing net \(#0\)$", 3),
        (rf"solver\.cpp:\d+\]     Test net output #0: loss = {number} \(\* 1 = {number} loss\)$", 3),
        (r"solver\.cpp:\d+\] Snapshotting to binary proto file s_iter_4\.caffemodel$", 1),
        (r"solver\.cpp:\d+\] Optimization Done\.$", 1),
    ):
        assert len(re.findall(prefix + expected, log, re.MULTILINE)) == count, expected
    assert read_lines(log.splitlines())["lr"] == [(0, 0.1), (2, 0.1)]


def test_control_characters_are_kept_out_of_svg(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(OLD.replace("accuracy", "acc\x01\x1b[2J\u202e<b>&-->"))
    plot_runs({"a\x02": read_log(tmp_path / "a.log")}, tmp_path / "p.svg")
    text = (tmp_path / "p.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)


def test_no_other_program_is_started_for_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    (tmp_path / "a.log").write_text(OLD)
    plot_runs({"a": read_log(tmp_path / "a.log")}, tmp_path / "p.png")
    assert matplotlib.rcParams["text.usetex"] is False
