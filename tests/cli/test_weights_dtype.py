"""--weights-dtype: of which commands, for which nets, and that it reaches the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.net.net import Net
from segcaffe.predict.loaded import Settings
from segcaffe.predict.predictor import Predictor
from segcaffe.proto.caffe_pb2 import TEST

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "scores"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "gaussian" std: 1 } } }
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A net and its weights."""
    net, weights = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    net.write_text(NET)
    Net(net, TEST).save(weights)
    return str(net), str(weights)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What nets are told to keep weights as."""
    told: list[str] = []
    keep = Net.keep_weights_as
    monkeypatch.setattr(Net, "keep_weights_as", lambda net, dtype: (told.append(dtype), keep(net, dtype))[1])
    return told


def test_time_and_test(files: tuple[str, str], kept: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    net, weights = files
    shared = ["--model", net, "--weights", weights, "--iterations", "1", "--weights-dtype", "float16"]
    assert main(["time", *shared, "--phase", "TEST"]) == 0
    assert main(["test", *shared]) == 0
    assert kept == ["float16"] * 2
    assert main(["time", *shared]) == 2
    assert "weights_dtype is float16, for a net of float32 in phase TEST" in " ".join(capsys.readouterr().err.split())


def test_classify(files: tuple[str, str], kept: list[str], tmp_path: Path) -> None:
    net, weights = files
    np.save(tmp_path / "images.npy", np.random.default_rng(0).random((2, 8, 8, 3)).astype(np.float32))
    paths = [str(tmp_path / "images.npy"), str(tmp_path / "out.npy")]
    options = ["--model_def", net, "--pretrained_model", weights, "--mean_file", "", "--center_only"]
    assert main(["classify", *paths, *options, "--weights-dtype", "float16"]) == 0
    assert kept[-1] == "float16"


def test_predict(files: tuple[str, str], kept: list[str]) -> None:
    net, weights = files
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    found, plain = (Predictor(net, [weights], Settings(weights_dtype=dtype)).scores(image) for dtype in
                    ("float16", "float32"))  # fmt: skip
    assert kept == ["float16", "float32"]
    assert 0 < np.abs(found - plain).max() < 2e-3 * np.abs(plain).max()
