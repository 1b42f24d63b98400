"""Every command that writes more than one file, or for long: a second process is refused and harms nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.blob.proto import from_array
from segcaffe.cli.main import main
from segcaffe.data.png import write_label
from segcaffe.proto.caffe_pb2 import NetParameter
from segcaffe.snapshot.caffemodel import save_weights
from tests.files.others import another_process_writes

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 1 } }
"""
TRAIN = """
layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "label" type: "DummyData" top: "label" dummy_data_param { shape { dim: 2 dim: 1 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" }
"""
SOLVER = 'net: "train.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "out"'
COMMANDS = {
    "train": "train --solver solver.prototxt",
    "make-db": "data make-db images/ list.txt out",
    "make-db --overwrite": "data make-db images/ list.txt out --overwrite",
    "leveldb": "data make-db images/ list.txt out --backend leveldb",
    "features to a file": "features net.caffemodel train.prototxt conv out.npz --iterations 1",
    "features to databases": "features net.caffemodel train.prototxt conv out --iterations 1",
    "eval --json": "eval labels labels --trimap 0 --json out",
    "eval --submission": "eval labels --images images --submission out",
    "predict": "predict net.prototxt net.caffemodel images --out out",
    "eval --plots": "eval labels labels --trimap 0 --plots out",
    "make-scenes": "data make-scenes out --train 1 --test 1 --size 32",
    "import-folder": "data import-folder images labels out --test 0",
}
INSIDE = "predict", "eval --plots", "make-scenes", "import-folder"


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("net", NET), ("train", TRAIN), ("solver", SOLVER)):
        (tmp_path / f"{name}.prototxt").write_text(text)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        cv2.imwrite(f"images/{name}.png", np.full((8, 8, 3), 7, np.uint8))
        write_label(Path(f"labels/{name}.png"), np.eye(8), "test")
    (tmp_path / "list.txt").write_text("a.png 0\nb.png 1\n")
    net = NetParameter()
    values = np.random.default_rng(0).standard_normal((2, 3, 1, 1)).astype(np.float32)
    net.layer.add(name="conv", type="Convolution").blobs.extend([from_array(values), from_array(np.zeros(2))])
    save_weights(net, "net.caffemodel")
    return tmp_path


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_second_writer_is_refused(name: str, inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "--plots" in name:
        pytest.importorskip("matplotlib")
    words = COMMANDS[name].split()
    out = inputs / ("out.npz" if "out.npz" in words else "out")
    if name == "make-db --overwrite":
        assert main([word for word in words if word != "--overwrite"]) == 0
    with another_process_writes(out, inside=name in INSIDE) as other:
        before = _content(inputs)
        assert main(words) == 2
        told = " ".join(capsys.readouterr().err.split())
        assert f"process {other.pid} on" in told
        assert "is writing there; its lock is" in told
        assert _content(inputs) == before
    assert main(words) == 0
    # Of the one that was killed nothing is left, nor of the one that has ended.
    assert not [path for path in inputs.rglob(".*") if path.name.endswith((".lock", ".tmp", ".old"))]


def test_what_was_to_be_overwritten_is_never_taken_for_new(
    inputs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = COMMANDS["predict"].split()
    anew = [*words, "--mean", "1,2,3", "--overwrite"]
    assert main(words) == 0
    with monkeypatch.context() as patch:
        patch.setattr("segcaffe.predict.files.write_label", _interrupt)
        assert main(anew) == 130
    assert main(words) == 2
    assert "were made with other settings (mean)" in " ".join(capsys.readouterr().err.split())
    assert main(anew[:-1]) == 0
    assert "2 predicted" in capsys.readouterr().out
    assert main(anew[:-1]) == 0
    assert "0 predicted, 2 were there already" in capsys.readouterr().out


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _leave(path: Path) -> None:
    """As a power failure may leave a file that was not brought to the disk."""
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [_leave, Path.unlink])
def test_predict_makes_anew_what_is_empty_or_gone(
    harm: Callable[[Path], None], inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = COMMANDS["predict"].split()
    assert main(words) == 0
    before = _content(inputs / "out")
    harm(inputs / "out" / "b.png")
    assert main(words) == 0
    assert "1 predicted, 1 were there already" in capsys.readouterr().out
    assert _content(inputs / "out") == before
