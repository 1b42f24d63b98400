"""Commands on several ranks give what they give alone."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.net.net import Net
from segcaffe.parallel.growth import Iteration, Link, forecast, reduction, steps, table
from segcaffe.proto import caffe_pb2
from tests.cli.test_json import PAGE, keys
from tests.parallel.launching import launch

NET = """
layer { name: "data" type: "ImageSegData" top: "data" top: "label"
  image_data_param { source: "pairs.txt" batch_size: 2 label_type: PIXEL } transform_param { crop_size: 9 } }
layer { name: "fc8" type: "Convolution" bottom: "data" top: "fc8"
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc8" bottom: "label" top: "loss"
  loss_param { ignore_label: 255 } }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cv2 = pytest.importorskip("cv2")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(2)
    for name in ("images", "labels"):
        Path(name).mkdir()
    for number in range(7):
        cv2.imwrite(f"images/{number}.png", rng.integers(256, size=(9, 8 + number % 2, 3)).astype(np.uint8))
        cv2.imwrite(f"labels/{number}.png", rng.integers(3, size=(9, 8 + number % 2)).astype(np.uint8))
    Path("pairs.txt").write_text("".join(f"images/{n}.png labels/{n}.png\n" for n in range(7)))
    Path("net.prototxt").write_text(NET)
    Net("net.prototxt", phase=caffe_pb2.TRAIN).save("net.caffemodel")
    return tmp_path


def lines(out: str) -> list[list[str]]:
    """The commands, writing to files of that name's beginning."""
    return [
        ["predict", "net.prototxt", "net.caffemodel", "images", "--out", f"{out}", "--blob", "fc8"],
        ["eval", out, "labels", "--classes", "3", "--json", f"{out}.json"],
        ["features", "net.caffemodel", "net.prototxt", "data,fc8", f"{out}.npz", "--iterations", "5"],
    ]


def test_what_ranks_share_out_comes_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in lines("alone"):
        assert main(line) == 0
    timed = ["time", "--model", "net.prototxt", "--iterations", "2", "--json"]
    run = launch(2, "-m", "tests.parallel.commands", json.dumps([*lines("joint"), timed]), folder=folder)
    assert run.returncode == 0, run.stderr
    alone, joint = Path("alone"), Path("joint")
    names = sorted(path.relative_to(alone) for path in alone.rglob("*.png"))
    assert names == sorted(path.relative_to(joint) for path in joint.rglob("*.png"))
    assert len(names) == 7
    assert all((alone / name).read_bytes() == (joint / name).read_bytes() for name in names)
    assert json.loads(Path("alone.json").read_text()) == json.loads(Path("joint.json").read_text())
    with np.load("alone.npz") as one, np.load("joint.npz") as other:
        assert one["fc8"].shape[0] == 10
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    assert "joint: 7 predicted" in run.stdout
    figures = json.loads(run.stdout[run.stdout.index("{\n") :])
    section = PAGE[PAGE.index("\n## time --mpi\n") :].split("\n## ")[1]
    assert {key for key in keys(figures) if key.startswith("mpi.")} == {
        line.split("`")[1] for line in section.splitlines() if line.startswith("| `")
    }
    assert figures["mpi"]["ranks"] == 2


def test_the_model_of_growth_adds_what_cannot_be_hidden() -> None:
    link = Link(latency=1e-5, bandwidth=1e9)
    assert [steps(n) for n in (1, 2, 3, 4, 1024)] == [1, 2, 4, 4, 20]
    assert reduction(link, 10**8, 3, 1) == 0
    assert reduction(link, 10**8, 3, 2) == pytest.approx(6e-5 + 0.1)
    assert forecast(Iteration(1.0, 0.5, 10**8, 3), link, 2).seconds == 1.0
    assert forecast(Iteration(1.0, 0.05, 10**8, 3), link, 2).seconds == pytest.approx(1.05006)
    rows = table(Iteration(1.0, 0.0, 10**8, 3), link)
    assert [row.ranks for row in rows][-1] == 1024
    assert all(a.efficiency >= b.efficiency for a, b in itertools.pairwise(rows))
