"""`segcaffe export` where OUT ends in .py: files, comparison, what it refuses."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import segcaffe
from segcaffe.cli.main import main
from segcaffe.convert import safetensors
from tests.conftest import ROOT

LENET = str(ROOT / "configs" / "tiny" / "lenet_deploy.prototxt")
HAS_TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture
def weights(tmp_path: Path) -> str:
    path = tmp_path / "lenet.caffemodel"
    net, rng = segcaffe.Net(LENET, segcaffe.TEST), np.random.default_rng(0)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = 0.1 * rng.standard_normal(blob.shape)
    net.save(str(path))
    return str(path)


def test_source_weights_and_proof(weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lenet.py"
    assert main(["export", LENET, weights, str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == [str(out), str(tmp_path / "lenet.safetensors")]
    assert 'load_file("lenet.safetensors")' in out.read_text()
    state, _ = safetensors.decode((tmp_path / "lenet.safetensors").read_bytes(), "the state")
    net = segcaffe.Net(LENET, weights, segcaffe.TEST)
    assert list(state) == [f"{layer}.{name}" for layer in net.params for name in ("weight", "bias")]
    np.testing.assert_array_equal(state["ip2.weight"], net.params["ip2"][0].data)
    if HAS_TORCH:
        assert json.loads((tmp_path / "lenet.py.proof.json").read_text())["holds"]


def test_without_weights_there_is_no_state(tmp_path: Path) -> None:
    assert main(["export", LENET, str(tmp_path / "lenet.py"), "--no-check", "-q"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["lenet.py"]


def test_options_of_onnx_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", LENET, str(tmp_path / "lenet.py"), "--opset", "13", "--simplify"]) == 2
    assert "--opset, --simplify: for OUT in ONNX's format only" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_refused_layers_leave_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, out = tmp_path / "net.prototxt", tmp_path / "net.py"
    net.write_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }\n'
        'layer { name: "parts" type: "ConnectedComponent" bottom: "x" top: "y" }\n'
    )
    out.write_text("kept")
    assert main(["export", str(net), str(out)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f'{net}:2: layer "parts" (ConnectedComponent): areas that hang together have no counterpart' in told
    assert out.read_text() == "kept"


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
def test_a_module_that_differs_gives_status_1(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from segcaffe.export.torch import judged, module

    def changed(written: module.Written, training: bool = False) -> object:
        made = module.module_of(written, training)
        made.conv2.weight.data += 1
        return made

    monkeypatch.setattr(judged, "module_of", changed)
    assert main(["export", LENET, weights, str(tmp_path / "lenet.py")]) == 1
    assert "conv2" in capsys.readouterr().out


TRAIN_VAL = str(ROOT / "configs" / "tiny" / "lenet_train_test.prototxt")


def test_a_net_with_its_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lenet.py"
    shapes = ["--shape", "data=8,1,28,28", "--set", "MNIST=.", "--shape", "label=8"]
    assert main(["export", TRAIN_VAL, str(out), "--train", *shapes]) == 0
    source = out.read_text()
    assert "def forward(self, data: Tensor, label: Tensor) -> Tensor:" in source
    assert "F.cross_entropy(" in source
    capsys.readouterr()
    assert main(["export", TRAIN_VAL, str(out), "--train", *shapes[:4]]) == 2
    assert "--shape label=SIZES" in " ".join(capsys.readouterr().err.split())
    assert main(["export", TRAIN_VAL, str(tmp_path / "lenet.onnx"), "--train", *shapes]) == 2
    assert "--train is for OUT.py" in capsys.readouterr().err


def test_every_blob_that_until_names_is_returned(tmp_path: Path) -> None:
    out = tmp_path / "cut.py"
    assert main(["export", LENET, str(out), "--until", "conv1,ip1", "--no-check"]) == 0
    source = out.read_text()
    assert "conv2" in source
    assert '"conv1": conv1' in source
    assert '"ip1": ip1' in source
