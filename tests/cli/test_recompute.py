"""--recompute: planned by `segcaffe net`, obeyed by `segcaffe train`."""

from __future__ import annotations

from pathlib import Path

import pytest

from segcaffe.cli.main import main
from tests.net.test_memory import CONV, INPUT
from tests.net.test_recompute import LABEL

DATA = (
    'layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 dim: 33 dim: 41 } '
    'data_filler { type: "gaussian" std: 1 } } }'
)
BODY = "".join(CONV.format(f"c{i}", f"c{i - 1}" if i else "x", 8) for i in range(8)) + CONV.format("y", "c7", 3)
SOLVER = 'train_net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 3 random_seed: 3'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(DATA + BODY + LABEL)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    return tmp_path


def test_the_plan_is_printed_beside_the_plain_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "net.prototxt").write_text(INPUT + BODY + LABEL)
    assert main(["net", "net.prototxt", "--phase", "TRAIN", "--recompute", "auto"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("memory:") for line in lines)
    assert any(line.startswith("with recompute, memory:") for line in lines)
    count = next(line for line in lines if line.startswith("recomputed:"))
    assert 0 < int(count.split()[1]) < 20
    assert "in the forward pass" in count


def test_training_ends_with_the_same_weights(folder: Path) -> None:
    for name, options in (("plain", []), ("again", ["--recompute", "c*"])):
        assert main(["train", "--solver", "solver.prototxt", "--cpu", "--out", name, *options]) == 0
    plain, again = (next((folder / name).glob("*.caffemodel")).read_bytes() for name in ("plain", "again"))
    assert plain == again


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--recompute", "c9"], 'no layer is called "c9"'), (["--recompute", "auto", "--keep-blobs"], "not both")],
)
def test_what_cannot_be_meant(
    folder: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--solver", "solver.prototxt", "--cpu", *options]) == 2
    assert message in capsys.readouterr().err
