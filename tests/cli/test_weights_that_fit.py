"""Weights that are not the net's, and template names that are not the file's, are errors with the known names."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import segcaffe as caffe
from segcaffe.cli.main import main

NET = """
layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 dim: 3 dim: 9 dim: ${WIDTH} } } }
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "factor" type: "Scale" bottom: "a" top: "factor" scale_param { filler { value: 2 } } }
layer { name: "b" type: "Convolution" bottom: "factor" top: "b"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "Reduction" bottom: "b" top: "loss" loss_weight: 1 }
"""
IMAGE_NET = NET.replace("DummyData", "Input").replace(
    "dummy_data_param { shape { dim: 2", "input_param { shape { dim: 1"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A net, a solver, weights of all its layers but the constant factor, of the first, and of none."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("deploy.prototxt").write_text(IMAGE_NET.partition('layer { name: "loss"')[0])
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "${OUT}/s"'
    )
    text = NET.replace("${WIDTH}", "9")
    for name, layers in (
        ("all", text.replace('name: "factor"', 'name: "absent"')),
        ("part", text.replace('"b"', '"c"')),
        ("none", text.replace('name: "', 'name: "z')),
    ):
        Path("written.prototxt").write_text(layers)
        net = caffe.Net("written.prototxt", caffe.TEST)
        net.save(f"{name}.caffemodel")
    (tmp_path / "images").mkdir()
    cv2.imwrite("images/a.png", np.zeros((9, 9, 3), np.uint8))
    return tmp_path


COMMANDS = {
    "test": ["test", "--model", "net.prototxt", "--iterations", "1", "--weights", "{}"],
    "predict": ["predict", "deploy.prototxt", "{}", "images", "--out", "out"],
    "features": ["features", "{}", "net.prototxt", "b", "f.npz", "--iterations", "1", "--overwrite"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_that_use_a_net_want_all_its_weights(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(weights: str, *options: str) -> tuple[int, str]:
        words = [word.format(weights) for word in COMMANDS[command]]
        status = main([*words, "--set", "WIDTH=9", *options])
        return status, " ".join(capsys.readouterr().err.split())

    assert run("all.caffemodel")[0] == 0
    status, told = run("none.caffemodel")
    assert status == 2
    assert "none of its layers with weights has the name of a layer of the net. The file has za" in told
    status, told = run("part.caffemodel")
    assert status == 2
    assert "no weights for 1 of 3 layers with parameters: b." in told
    status, told = run("part.caffemodel", "--allow-partial", *(["--overwrite"] if command == "predict" else []))
    assert status == 0
    assert "1 of 3 layers with parameters begin with random or zero values" in told


def test_training_begins_with_some_layers_but_not_with_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "--solver", "solver.prototxt", "--set", "WIDTH=9", "--set", "OUT=."]
    assert main([*train, "--weights", "part.caffemodel"]) == 0
    assert "1 of 3 layers with parameters begin with" in " ".join(capsys.readouterr().err.split())
    assert main([*train, "--weights", "none.caffemodel"]) == 2
    assert main([*train, "--weights", "none.caffemodel", "--allow-partial"]) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--solver", "solver.prototxt", "--set", "OUT=."],
        ["lint", "solver.prototxt"],
        ["test", "--model", "net.prototxt", "--iterations", "1"],
        ["time", "--model", "net.prototxt"],
        ["net", "net.prototxt"],
        ["draw", "net.prototxt", "net.svg"],
        ["predict", "deploy.prototxt", "all.caffemodel", "images", "--out", "out"],
        ["features", "all.caffemodel", "net.prototxt", "b", "f.npz"],
        ["upgrade", "net", "net.prototxt", "new.prototxt"],
    ],
    ids=lambda words: words[0],
)
def test_a_misspelt_template_name_is_an_error(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--set", "WIDTH=9", "--set", "WITDH=9"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "has no ${WITDH}. Did you mean WIDTH? The names there are: " in told


def test_names_of_files_beside_it_may_be_given(folder: Path) -> None:
    assert main(["net", "net.prototxt", "--set", "WIDTH=9", "--set", "OUT=."]) == 0
    Path("solver.prototxt").unlink()
    assert main(["net", "net.prototxt", "--set", "WIDTH=9", "--set", "OUT=."]) == 2


def test_a_file_of_variables_may_have_other_names(folder: Path) -> None:
    Path("some.vars").write_text("WIDTH=9\nOTHER=1\n")
    assert main(["net", "net.prototxt", "--vars", "some.vars"]) == 0
