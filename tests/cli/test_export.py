"""segcaffe export: what it writes, what it says, and what it refuses, as someone new to it would try."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from segcaffe.cli.main import main
from segcaffe.net.net import Net
from segcaffe.proto import caffe_pb2
from tests.conftest import ROOT

LENET = str(ROOT / "configs" / "tiny" / "lenet_deploy.prototxt")
Say = Callable[..., str]


@pytest.fixture
def refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run the command in an empty folder; what it says as it refuses. Nothing is written."""
    monkeypatch.chdir(tmp_path)

    def refused(*words: str) -> str:
        before = sorted(Path.cwd().iterdir())
        assert main(["export", *words]) == 2
        assert sorted(Path.cwd().iterdir()) == before
        return " ".join(capsys.readouterr().err.split())

    return refused


def test_a_net_with_weights_becomes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, out = tmp_path / "w.npz", tmp_path / "lenet.onnx"
    net = Net(LENET, caffe_pb2.TEST)
    net.save(weights)
    assert main(["export", LENET, str(weights), str(out), "--no-check"]) == 0
    told = capsys.readouterr()
    assert told.out == f"{out}\n"
    assert "WEIGHTS" not in told.err
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    np.testing.assert_array_equal(stored["conv1/0"], net.params["conv1"][0].data)
    assert {entry.key for entry in model.metadata_props} >= {"sha256 w.npz", "source_file", "segcaffe_version"}


def test_without_weights_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", LENET, str(tmp_path / "a.onnx"), "--no-check"]) == 0
    assert "no WEIGHTS are given" in capsys.readouterr().err


def test_options_stand_anywhere(tmp_path: Path) -> None:
    weights = tmp_path / "w.caffemodel"
    Net(LENET, caffe_pb2.TEST).save(weights)
    for i, words in enumerate((["--opset", "13", LENET, str(weights)], [LENET, "--opset=13", str(weights)])):
        out = tmp_path / f"{i}.onnx"
        assert main(["export", *words, str(out), "--no-check"]) == 0
        assert onnx.load(out).opset_import[0].version == 13


def test_preparation_that_stays_outside_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, out = tmp_path / "net.prototxt", str(tmp_path / "net.onnx")
    net.write_text(
        'layer { name: "d" type: "Data" top: "data" top: "label" '
        "transform_param { mean_value: 7 scale: 0.5 crop_size: 9 } }"
        'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 2 } }'
    )
    assert main(["export", str(net), out, "--no-check"]) == 0
    assert "minus 7, times 0.5" in capsys.readouterr().err
    assert main(["export", str(net), out, "--no-check", "--mean", "7", "--scale", "0.5"]) == 0
    assert "prepares" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere.prototxt", "a.onnx"), "NET nowhere.prototxt: does not exist."),
        ((LENET, "nowhere.caffemodel", "a.onnx"), "WEIGHTS nowhere.caffemodel: does not exist."),
        ((LENET, "a.tflite"), "Known: .onnx"),
        ((LENET, "a"), "Received: none."),
        ((LENET, "nowhere/a.onnx"), "nowhere/a.onnx: the file cannot be written"),
        ((LENET, "nowhere/a.onnx"), "Create the folder nowhere first."),
        ((LENET, "a.onnx", "--until", "data"), 'only end with blobs that a layer computes. Received: "data", an input'),
        ((LENET, "a.py", "--until", "data"), 'only end with blobs that a layer computes. Received: "data", an input'),
        ((LENET, "a.onnx", "--until", "ip3"), 'no blob "ip3". Did you mean "ip2"'),
        ((LENET, "a.onnx", "--opset", "9"), "opset must be 11 to"),
        ((LENET, "a.onnx", "--batch", "0"), "--batch is a number of 1 or more, or dynamic. Received: 0."),
        ((LENET, "a.onnx", "--batch", "all"), "Received: all."),
        ((LENET, "a.onnx", "--shape", "1,1,28,28"), "--shape is an input's name and its extents"),
        ((LENET, "a.onnx", "--shape", "data=1,1,28"), 'input "data" has 4 axes'),
        ((LENET, "a.onnx", "--shape", "image=1,1,28,28"), 'no input "image" to give a shape to. Its inputs: data.'),
        ((LENET, "a.onnx", "--shape", "data=1,1,2,2"), 'layer "conv1"'),
        ((LENET, "a.onnx", "--mean", "1,2"), "--mean takes one value, or 1"),
        ((LENET, "a.onnx", "--bgr-from-rgb"), "--bgr-from-rgb needs an input of 3 channels"),
    ],
)
def test_refusals(refuses: Say, words: tuple[str, ...], told: str) -> None:
    assert told in refuses(*words, "--no-check")


def test_a_program_that_cannot_run_the_file_is_told_before_it_is_written(refuses: Say) -> None:
    told = "--runtime torch runs modules, which are files that end in .py."
    assert told in refuses(LENET, "a.onnx", "--runtime", "torch")


def test_a_type_that_is_not_known_has_its_place(refuses: Say, tmp_path: Path) -> None:
    net = tmp_path / "net.prototxt"
    net.write_text(IN_PLACE.replace('"ReLU"', '"ReLUU"'))
    assert 'net.prototxt:4: layer "relu" (ReLUU): unknown layer type "ReLUU"' in refuses("net.prototxt", "a.onnx")


def test_weights_of_another_net(refuses: Say, tmp_path: Path) -> None:
    other = Net(str(ROOT / "configs" / "tiny" / "plain_deploy.prototxt"), caffe_pb2.TEST)
    other.save(tmp_path / "other.caffemodel")
    assert 'parameter 0 of layer "conv1"' in refuses(LENET, "other.caffemodel", "a.onnx")


def test_a_layer_that_cannot_go_out(refuses: Say, tmp_path: Path) -> None:
    crf = tmp_path / "crf.prototxt"
    crf.write_text(
        'layer { name: "in" type: "Input" top: "s" top: "xy" top: "rgb"\n'
        " input_param { shape { dim: 1 dim: 2 dim: 4 dim: 4 } shape { dim: 1 dim: 2 dim: 4 dim: 4 }\n"
        " shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }\n"
        'layer { name: "cc" type: "ConnectedComponent" bottom: "s" top: "areas" }\n'
        'layer { name: "mal" type: "ConnectedComponent" bottom: "xy" top: "others" }'
    )
    told = refuses("crf.prototxt", "a.onnx")
    assert "2 layers cannot be exported" in told
    assert 'crf.prototxt:4: layer "cc" (ConnectedComponent): it floods areas' in told
    assert "--until BLOB" in told
    assert "--custom DOMAIN" in told
    assert main(["export", "crf.prototxt", "a.onnx", "--custom", "mine", "-q"]) == 0
    assert [node.domain for node in onnx.load("a.onnx").graph.node] == ["mine", "mine"]


def test_a_missing_package(refuses: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install onnx onnxruntime" in refuses(LENET, "a.onnx")


def test_what_was_there_stays_where_a_net_is_refused(refuses: Say, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"old")
    refuses(LENET, "a.onnx", "--until", "nothing")
    assert (tmp_path / "a.onnx").read_bytes() == b"old"


IN_PLACE = """
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "double" type: "Power" bottom: "data" top: "data" power_param { scale: 2 } }
layer { name: "relu" type: "ReLU" bottom: "data" top: "data" }
"""


@pytest.mark.parametrize("words", [(), ("--until", "data")])
def test_a_net_that_only_works_in_place_on_its_input_has_an_output(words: tuple[str, ...], tmp_path: Path) -> None:
    net, out = tmp_path / "net.prototxt", tmp_path / "net.onnx"
    net.write_text(IN_PLACE)
    assert main(["export", str(net), str(out), *words]) == 0
    assert [value.name for value in onnx.load(out).graph.output] == ["data/relu"]
    weights = tmp_path / "net.caffemodel"
    Net(str(net), caffe_pb2.TEST).save(weights)
    assert main(["verify", str(net), str(weights), str(out)]) == 0
