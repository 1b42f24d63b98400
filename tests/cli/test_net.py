"""`segcaffe net`: the table of a net."""

from __future__ import annotations

from pathlib import Path

import pytest

from segcaffe.cli.main import main

NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 10 dim: ${WIDTH} } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" exclude { phase: TEST } }
layer { name: "cut" type: "Slice" bottom: "conv" top: "a" top: "b" }
"""


@pytest.fixture
def net_file(tmp_path: Path) -> str:
    path = tmp_path / "net.prototxt"
    path.write_text(NET)
    return str(path)


def _rows(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}


def test_table_has_shapes_parameters_and_multiply_adds(net_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["net", net_file, "--set", "WIDTH=12", "--no-fuse"]) == 0
    out = capsys.readouterr().out
    rows = _rows(out)
    assert rows["conv"][:5] == ["conv", "Convolution", "conv", "2x4x8x10", "112"]
    assert rows["conv"][5] == f"{2 * 4 * 8 * 10 * 27:,}"
    assert rows["cut"][2:4] == ["a", "2x2x8x10"]
    assert rows["b"] == ["b", "2x2x8x10"], "each top has a line"
    assert rows["total"][:4] == ["total", "3", "layers", "112"]
    assert "inputs: data; outputs: a, b" in out


def test_phase_decides_which_layers_there_are(net_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["net", net_file, "--set", "WIDTH=12", "--phase", "TRAIN"]) == 0
    assert "relu" in _rows(capsys.readouterr().out)
    assert main(["net", net_file, "--set", "WIDTH=12", "--phase", "TEST"]) == 0
    assert "relu" not in _rows(capsys.readouterr().out)


def test_types_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["net", "--types"]) == 0
    listed = capsys.readouterr().out.split()
    assert {"Convolution", "Im2dist", "NormConvMeanfield", "Python"} <= set(listed)
    assert listed == sorted(listed)
