"""Statistics of BN layers folded into their blobs: what predicts then is what was trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.cli.main import main
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from segcaffe.snapshot.caffemodel import load_weights

SHAPE = "input_param { shape { dim: 3 dim: 2 dim: 6 dim: 5 } }"
FILLERS = "scale_filler { value: 1.5 } shift_filler { value: 0.25 }"
NET = """
layer {{
  name: "data" type: "{data}" top: "data" include {{ phase: TRAIN }}
  dummy_data_param {{ shape {{ dim: 3 dim: 2 dim: 6 dim: 5 }} data_filler {{ type: "gaussian" mean: 2 std: 3 }} }}
}}
layer {{ name: "data" type: "Input" top: "data" {shape} include {{ phase: TEST }} }}
layer {{ name: "bn1" type: "BN" bottom: "data" top: "bn1" bn_param {{ {options} }} }}
layer {{ name: "drop" type: "Dropout" bottom: "bn1" top: "drop" }}
layer {{ name: "bn2" type: "BN" bottom: "drop" top: "bn2" bn_param {{ {options} }} }}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a net that learns, the same for prediction, and weights; it is the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("train.prototxt").write_text(NET.format(data="DummyData", shape=SHAPE, options=FILLERS))
    Path("deploy.prototxt").write_text(NET.format(data="DummyData", shape=SHAPE, options="bn_mode: INFERENCE"))
    Net("train.prototxt", caffe_pb2.TRAIN).save("w.caffemodel")
    return tmp_path


def test_the_folded_net_gives_what_the_batches_gave_on_average(files: Path) -> None:
    caffe.set_random_seed(3)
    assert main(["weights", "fold-bn", "train.prototxt", "w.caffemodel", "f.caffemodel", "--iterations", "40"]) == 0
    net = caffe.Net("deploy.prototxt", "f.caffemodel", caffe.TEST)
    scale, shift = (blob.data.ravel() for blob in net.params["bn1"])
    np.testing.assert_allclose(scale, 1.5 / 3, rtol=0.05)
    np.testing.assert_allclose(shift, 0.25 - 2 * 1.5 / 3, atol=0.1)
    # Nothing was dropped: the second layer's batches had the mean 0.25 and the deviation 1.5.
    scale, shift = (blob.data.ravel() for blob in net.params["bn2"])
    np.testing.assert_allclose(scale, np.sqrt(89 / 90), rtol=1e-4)  # unbiased, of 3 x 6 x 5 values
    np.testing.assert_allclose(shift, 0, atol=0.01)
    modes = [layer.bn_param.bn_mode for layer in load_weights("f.caffemodel").layer if layer.type == "BN"]
    assert modes == [caffe_pb2.BNParameter.INFERENCE] * 2


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_it_writes_the_format_that_the_name_asks_for(files: Path, suffix: str) -> None:
    target = f"f{suffix}"
    assert main(["weights", "fold-bn", "train.prototxt", "w.caffemodel", target, "--iterations", "1"]) == 0
    assert caffe.Net("deploy.prototxt", target, caffe.TEST).params["bn1"][0].data.all()


def test_there_must_be_something_to_fold(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fold-bn", "train.prototxt", "", "f.caffemodel"]) == 2
    assert "WEIGHTS names no file" in capsys.readouterr().err
    assert main(["weights", "fold-bn", "deploy.prototxt", "w.caffemodel", "f.caffemodel"]) == 2
    assert "no BN layer with bn_mode: LEARN" in capsys.readouterr().err
    assert not Path("f.caffemodel").exists()
