"""Whoever takes weights takes them in every format."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.cli.main import main
from segcaffe.convert import formats
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2

LAYERS = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
"""
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }'
DATA = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 1 dim: 3 dim: 8 dim: 8 } shape { dim: 1 dim: 1 dim: 8 dim: 8 }
  data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 1 } } }
"""
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" }'
SOLVER = 'train_net: "train.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 0 snapshot_prefix: "trained"'


@pytest.fixture
def weights(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Weights in the format that the parameter names, beside nets and a solver, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("deploy.prototxt").write_text(INPUT + LAYERS)
    Path("train.prototxt").write_text(DATA + LAYERS + LOSS)
    Path("solver.prototxt").write_text(SOLVER)
    net = Net("deploy.prototxt", caffe_pb2.TEST)
    net.params["conv"][1].data[...] = (1, 2, 3)
    name = f"weights.{request.param}"
    formats.save(net.to_proto(), name)
    return name


each_format = pytest.mark.parametrize("weights", ["caffemodel", "caffemodel.h5", "npz", "safetensors"], indirect=True)


@each_format
def test_nets(weights: str) -> None:
    net = Net("deploy.prototxt", weights, caffe_pb2.TEST)
    assert net.params["conv"][1].data.tolist() == [1, 2, 3]
    renamed = Path(weights).rename("weights")
    other = Net("deploy.prototxt", caffe_pb2.TEST, weights=renamed)
    assert np.array_equal(other.params["conv"][0].data, net.params["conv"][0].data)


@each_format
def test_training_and_testing(weights: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--solver", "solver.prototxt", "--weights", weights, "--cpu"]) == 0
    trained = formats.load("trained_iter_0.caffemodel")
    assert formats.arrays_of(trained, "")["conv/1"].tolist() == [1, 2, 3]
    losses = []
    for file in (weights, "trained_iter_0.caffemodel"):
        assert main(["test", "--model", "train.prototxt", "--weights", file, "--iterations", "1", "--cpu"]) == 0
        losses.append([line.split("]")[-1] for line in capfd.readouterr().err.splitlines() if "Loss:" in line])
    assert losses[0]
    assert losses[0] == losses[1]


@each_format
def test_solver_files_and_predictions(weights: str) -> None:
    Path("solver.prototxt").write_text(f'{SOLVER} weights: "{weights}"')
    assert main(["train", "--solver", "solver.prototxt", "--cpu"]) == 0
    trained = formats.load("trained_iter_0.caffemodel")
    assert formats.arrays_of(trained, "")["conv/1"].tolist() == [1, 2, 3]
    cv2.imwrite("image.png", np.zeros((8, 8, 3), np.uint8))
    command = ["predict", "deploy.prototxt", weights, "image.png", "--out", "out", "--mean", "0,0,0", "--scores", "npy"]
    assert main([*command, "--cpu"]) == 0
    scores = np.load("out/scores/image.npy")
    assert scores[:, 4, 4].tolist() == [1, 2, 3]


@pytest.mark.parametrize("weights", ["npz"], indirect=True)
@pytest.mark.parametrize("content", [b"", b"{", b"PK\x03\x04", b"\x05\0\0\0\0\0\0\0{abcd"])
def test_what_only_begins_like_a_format(weights: str, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken").write_bytes(content)
    assert main(["test", "--model", "train.prototxt", "--weights", "broken", "--cpu"]) == 2
    assert "broken" in capsys.readouterr().err
