"""The benchmarks of GPUs run, on a device that is not one: rows, traces, reports, and rows that fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segcaffe.net import replay
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.proto.text import parse
from tests import fake_gpu

torch = pytest.importorskip("torch")

from benchmarks import gpu, gpu_rows, gpu_trace  # noqa: E402 (they need PyTorch)

NET = """
force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
"""
BENCH = gpu_rows.Bench(smoke=True, runs=2, speeds=gpu_rows.Speeds(1e9, 2e9))


@pytest.fixture
def net() -> Net:
    return Net(parse(NET, caffe_pb2.NetParameter(), "net"), caffe_pb2.TEST, fuse=False)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the kernel that keeps the device waiting was launched with."""
    launches: list[Any] = []
    kernel = lambda *arguments: launches.append(arguments)  # noqa: E731
    monkeypatch.setattr(fake_gpu.module, "RawKernel", lambda *_, **__: kernel, raising=False)
    gpu_trace._waiter.cache_clear()
    yield launches
    gpu_trace._waiter.cache_clear()


@pytest.mark.usefixtures("host_device")
def test_a_masked_row_on_a_device() -> None:
    lines = gpu_rows.masked_lines("masked 512", BENCH)
    assert [line.work.split(": ")[1].split(",")[0] for line in lines] == ["forward", "forward and backward", "forward"]
    for line in lines:
        assert line.ours > 0
        assert line.theirs is not None
        assert line.theirs > 0
        assert line.our_memory == pytest.approx(2.097152)
        assert float(line.note.removeprefix("differs by ")) < 1e-5
    # 8 channels of 15 x 15: bytes of x, the output, the masks and the weights; multiply-adds.
    size, products = 4 * (2 * 8 * 225 + 9 * 225 + 9 * 64), 9 * 64 * 225
    assert lines[0].floor == pytest.approx(1e3 * max(size / 1e9, products / 2e9))


@pytest.mark.slow
@pytest.mark.usefixtures("host_device")
def test_a_net_is_measured_layer_by_layer_and_replayed() -> None:
    plain, replayed = gpu_rows.net_lines("crf forward", BENCH)
    assert replayed.work == f"{plain.work}, replayed"
    assert "< 300 MB" in plain.wanted
    assert not replay.replay_wanted()


def test_products_of_a_net(net: Net) -> None:
    assert gpu_rows.products_of(net) == 2 * 30 * 4 * 27


@pytest.mark.usefixtures("host_device")
def test_layers_are_timed_behind_a_wait(net: Net, waits: list[Any]) -> None:
    net.forward()
    spans = gpu_trace.layer_spans(net, lambda: (net.forward(), net.backward()))
    assert [(span.name, span.way) for span in spans] == [
        ("in", "forward"), ("conv", "forward"), ("relu", "forward"), ("relu", "backward"), ("conv", "backward"),
    ]  # fmt: skip
    assert all(span.milliseconds > 0 for span in spans)
    assert len(waits) == len(spans)
    assert "forward" not in vars(net.layers[1])
    intervals = gpu_trace.in_a_row(spans)
    assert gpu_trace.covered(intervals) == pytest.approx(sum(span.milliseconds for span in spans))
    events = gpu_trace.chrome_trace(intervals, "layers")["traceEvents"]
    assert events[1]["name"] == "conv (Convolution, forward)"
    assert events[1]["ts"] == pytest.approx(1e3 * spans[0].milliseconds)


def test_covered_counts_overlaps_once() -> None:
    assert gpu_trace.covered([("a", 0, 4), ("b", 1, 2), ("c", 3, 5), ("d", 7, 8)]) == 6


@pytest.mark.usefixtures("host_device")
def test_layers_are_marked(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    marks: list[str] = []
    nvtx = SimpleNamespace(RangePush=marks.append, RangePop=lambda: marks.append("pop"))
    monkeypatch.setattr(fake_gpu.module.cuda, "nvtx", nvtx, raising=False)
    with gpu_trace.marked_layers(net):
        net.forward()
    assert marks == ["in forward", "pop", "conv forward", "pop", "relu forward", "pop"]


def test_a_row_that_fails_is_a_line_that_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--row", "no such row", "--smoke"]) == 0
    result = json.loads(capsys.readouterr().out.removeprefix(gpu.MARK))
    report = gpu.Report(tmp_path)
    report.add("float32", "no such row", result)
    report.add("float32", "a", {"lines": [vars(gpu_rows.Line("a", 2.0, 5.0, ">= 1", 1.0, 3.25))]})
    failed, measured = (tmp_path / "results.md").read_text().splitlines()
    assert "KeyError" in failed
    assert failed.count("|") == gpu.HEAD.splitlines()[0].count("|") == measured.count("|")
    assert measured == "| a | 2.000 | 5.000 | 2.50 | >= 1 | 1.000 | 2.0 | 3 |  |  |"
    assert [row["row"] for row in json.loads((tmp_path / "results.json").read_text())] == ["no such row", "a"]


def test_a_row_that_takes_too_long_is_stopped() -> None:
    options = gpu.parse(["--smoke"])
    assert gpu.in_own_process("masked 64", options, 0.01, None) == {"error": "stopped after 0 s"}


@pytest.mark.slow
def test_one_command_writes_all(tmp_path: Path) -> None:
    assert gpu.main(["masked 64", "--smoke", "--runs", "1", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "results.md").read_text()
    assert text.count("beside a plain conv") == 2
    assert "## float32" in text
    assert "## TF32" in text
