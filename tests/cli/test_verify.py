"""``segcaffe export --check`` and ``segcaffe verify``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segcaffe.cli.main import main
from segcaffe.export.runtimes.onnx_files import OnnxRuntime
from segcaffe.net.net import Net
from tests.export.proof.exported import NET


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    Net(str(tmp_path / "net.prototxt"), 1).save(str(tmp_path / "net.caffemodel"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> int:
    return main([words[0], "net.prototxt", "net.caffemodel", "net.onnx", *words[1:]])


def test_export_proves_what_it_writes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export") == 0
    out = capsys.readouterr().out
    assert "The file computes what the net does: largest difference" in out
    assert out.splitlines()[0] == "net.onnx"
    assert out.splitlines()[-1] == "net.onnx.proof.json"
    assert json.loads((folder / "net.onnx.proof.json").read_text())["holds"]


def test_export_without_a_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", "--no-check") == 0
    assert capsys.readouterr().out == "net.onnx\n"
    assert not (folder / "net.onnx.proof.json").exists()


def test_export_where_nothing_can_check(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxRuntime, "module", "there_is_no_such_module")
    assert run("export") == 0
    told = capsys.readouterr()
    assert told.out == "net.onnx\n"
    assert "Not compared with the net: onnxruntime is not installed. pip install onnxruntime." in told.err
    assert run("verify") == 2
    assert "pip install onnxruntime" in capsys.readouterr().err


def test_verify_in_two_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", "--no-check") == 0
    assert run("verify", "--runtime", "opencv", "--runtime", "onnxruntime") == 0
    assert capsys.readouterr().out.count("The file computes what the net does") == 2


def test_verify_with_other_weights(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export") == 0
    capsys.readouterr()
    net = Net("net.prototxt", 1, weights="net.caffemodel")
    net.params["conv2"][0].data[0, 0] += 0.1
    net.save("net.caffemodel")
    assert run("verify") == 1
    told = capsys.readouterr().out
    assert 'net.prototxt:7: layer "conv2" (Convolution), blob "conv2"' in told
    assert not json.loads((folder / "net.onnx.proof.json").read_text())["holds"]
    assert run("verify", "--tolerance", "1") == 0


def test_verify_a_file_that_is_cut_and_prepares_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", "--until", "conv2", "--mean", "104.00698793,117,123", "--scale", "0.017", "--bgr-from-rgb",
               "--shape", "data=2,3,12,11", "--batch", "2") == 0  # fmt: skip
    capsys.readouterr()
    assert run("verify") == 0
    assert "conv2" in capsys.readouterr().out


def test_verify_another_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.onnx").write_text("no model")
    assert run("verify") == 2
    assert "net.onnx is no ONNX file that can be read" in capsys.readouterr().err


def test_verify_a_file_of_another_net(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export") == 0
    capsys.readouterr()
    Path("net.prototxt").write_text(Path("net.prototxt").read_text().replace('"data"', '"image"'))
    assert run("verify") == 2
    assert 'net.onnx was not made of net.prototxt: its input "data" is no blob there' in capsys.readouterr().err
