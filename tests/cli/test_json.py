"""``--json``: every key is documented, every documented key is there, and the figures are those of the tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import segcaffe
from segcaffe.cli.main import main
from segcaffe.export.source import build_source
from tests.conftest import ROOT
from tests.export.proof.exported import change_node, placed, written

NET = """
name: "small"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } shape { dim: 2 } data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }
layer { name: "power" type: "Power" bottom: "data" top: "power" }
"""  # noqa: E501
SOLVER = 'net: "{net}" base_lr: 0.1 lr_policy: "fixed" type: "Adam" momentum: 0 max_iter: 4 snapshot_prefix: "x"'
PAGE = (ROOT / "docs" / "json.md").read_text()


@pytest.fixture
def net(tmp_path: Path) -> str:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return str(path)


def told(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*words, "--json"]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    head = {"command": found.pop("command"), "segcaffe": found.pop("segcaffe"), "format": found.pop("format")}
    command = " ".join(words[:2]) if words[0] == "weights" else words[0]
    assert head == {"command": command, "segcaffe": segcaffe.__version__, "format": 1}
    return found


def keys(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and path != "recompute.memory":
        for key, item in value.items():
            yield from keys(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from keys(item, f"{path}[]")
    else:
        yield path


def documented(command: str) -> set[str]:
    section = PAGE[PAGE.index(f"\n## {command}\n") :].split("\n## ")[1]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


def test_net(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    python = 'layer { name: "own" type: "Python" bottom: "power" top: "own" python_param { module: "m" layer: "C" } }'
    Path(net).write_text(NET + python)
    found = told(capsys, "net", net, "--phase", "TRAIN", "--recompute", "conv")
    assert set(keys(found)) == documented("net")
    assert set(found["recompute"]["memory"]) == set(found["memory"])
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert layers["conv"]["tops"] == [{"name": "conv", "shape": [2, 2, 2, 2]}]
    assert found["left_out"] == [{"name": "own", "type": "Python", "tops": ["own"], "module": "m", "class": "C"}]
    assert layers["conv"]["params"] == 2 * 3 * 9 + 2
    assert (layers["conv"]["type"], layers["relu"]["runs"]) == ("Convolution", "folded")
    assert found["multiply_adds"] == sum(layer["multiply_adds"] for layer in found["layers"])
    assert found["memory"]["blobs"] < found["memory"]["total"]
    assert "recompute" not in told(capsys, "net", net)


def test_types_of_layers(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Convolution" in told(capsys, "net", "--types")["types"]


def test_test(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "test", "--model", net, "--iterations", "2")
    assert set(keys(found)) == documented("test")
    outputs = {output["name"]: output for output in found["outputs"]}
    assert outputs["loss"]["values"] == [pytest.approx(found["loss"])]
    assert (outputs["loss"]["loss_weight"], outputs["accuracy"]["loss_weight"]) == (1, 0)
    assert (outputs["power"]["count"], outputs["power"]["values"]) == (96, None)


def test_time(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "time", "--model", net, "--iterations", "2")
    assert set(keys(found)) == documented("time")
    types = {layer["name"]: layer["type"] for layer in found["layers"]}
    assert (types["data"], types["conv"], types["data_data_0_split"]) == ("DummyData", "Convolution", "Split")
    assert found["forward_ms"] == pytest.approx(sum(layer["forward_ms"] for layer in found["layers"]))


def test_lint(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    solver = Path(net).with_name("solver.prototxt")
    solver.write_text(SOLVER.format(net=net))
    found = told(capsys, "lint", str(solver), status=1)
    assert set(keys(found)) == documented("lint")
    assert "adam-momentum" in [finding["check"] for finding in found["findings"]]


def test_weights_show(net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built, path = segcaffe.Net(net, segcaffe.TEST), str(tmp_path / "net.caffemodel")
    built.params["ip"][1].data[...] = [np.nan, np.inf, 2]
    built.params["conv"][1].data[...] = np.nan
    built.save(path)
    found = told(capsys, "weights", "show", path)
    assert set(keys(found)) == documented("weights show")
    blobs = {(blob["layer"], blob["index"]): blob for blob in found["blobs"]}
    assert blobs["ip", 0]["shape"] == [3, 8]
    assert (blobs["ip", 1]["mean"], blobs["ip", 1]["nan"], blobs["ip", 1]["infinite"]) == (2, 1, 1)
    assert blobs["conv", 1]["mean"] == "nan"


def test_weights_import(net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.numpy import save_file

    shapes = {"c.weight": (2, 3, 3, 3), "f.weight": (3, 8), "f.bias": (3,)}
    tensors = {name: np.ones(shape, np.float16) for name, shape in shapes.items()} | {"ids": np.arange(3)}
    save_file(tensors, str(tmp_path / "w.safetensors"))
    files = [net, str(tmp_path / "w.safetensors"), str(tmp_path / "net.caffemodel")]
    found = told(capsys, "weights", "import", *files)
    assert set(keys(found)) == documented("weights import")
    by_name = {(each["layer"], each["index"]): each for each in found["assignments"]}
    assert by_name["ip", 0]["tensor"] == "f.weight"
    assert by_name["conv", 1]["how"] == "none: filled with 0"
    assert by_name["conv", 1]["tensor"] is None
    assert found["unused"] == [{"tensor": "ids", "reason": "whole numbers, which are no weights"}]
    assert found["notes"] == ["3 tensors of float16: kept exactly, in single precision."]


def test_a_loss_that_is_not_finite_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "data" type: "DummyData" top: "data" '
        "dummy_data_param { shape { dim: 1 } data_filler { value: -1 } } }"
        'layer { name: "log" type: "Log" bottom: "data" top: "log" loss_weight: 1 }'
    )
    found = told(capsys, "test", "--model", str(path), "--iterations", "1")
    assert (found["loss"], found["outputs"][0]["values"]) == ("nan", ["nan"])


def test_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = build_source(placed(tmp_path / "net.prototxt"))
    source.net.save("net.caffemodel")
    written(source, tmp_path / "net.onnx", change_node("relu1", "Identity"))
    found = told(capsys, "verify", "net.prototxt", "net.caffemodel", "net.onnx", status=1)
    wrong = set(keys(found))
    written(source, tmp_path / "right.onnx")
    right = told(capsys, "verify", "net.prototxt", "net.caffemodel", "right.onnx")
    assert wrong ^ {"runtimes[].blobs"} | set(keys(right)) ^ {"runtimes[].first_difference"} == documented("verify")
    record = json.loads(Path(found["record"]).read_text())
    assert set(record) == {*found, "format", "segcaffe", "sha256", "sources"} - {"record"}
    assert record["runtimes"] == found["runtimes"]
    assert (found["file"], found["record"]) == ("net.onnx", "net.onnx.proof.json")
    (one,) = found["runtimes"]
    assert one["first_difference"]["layer"] == "relu1"
