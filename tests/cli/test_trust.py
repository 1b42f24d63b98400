"""Looking at a net never runs it; what runs Python layers says which, or asks first; names of data stay in folders."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest

from segcaffe.cli.main import build_parser, main
from segcaffe.net.net import Net

MODULE = "layer_of_a_stranger"
CODE = """
    from pathlib import Path
    import segcaffe

    with Path("runs.txt").open("a") as file:
        file.write("ran\\n")

    class Twice(segcaffe.Layer):
        def reshape(self, bottom, top):
            top[0].reshape(*bottom[0].shape)
        def forward(self, bottom, top):
            top[0].data[...] = 2 * bottom[0].data
"""
PYTHON = f'type: "Python" python_param {{ module: "{MODULE}" layer: "Twice" }}'
DEPLOY = f"""
layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 1 dim: 3 dim: 8 dim: 8 }} }} }}
layer {{ name: "known" type: "Pooling" bottom: "x" top: "k" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "twice" {PYTHON} bottom: "x" top: "t" }}
layer {{ name: "after" type: "Pooling" bottom: "t" top: "a" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "again" {PYTHON} bottom: "a" top: "b" }}
"""
TRAINED = f"""
layer {{ name: "in" type: "DummyData" top: "x" dummy_data_param {{ shape {{ dim: 2 dim: 3 }} }} }}
layer {{ name: "twice" {PYTHON} bottom: "x" top: "t" }}
layer {{ name: "ip" type: "InnerProduct" bottom: "x" top: "p" inner_product_param {{ num_output: 3 }} }}
layer {{ name: "loss" type: "EuclideanLoss" bottom: "p" bottom: "x" top: "loss" }}
"""
SOLVER = 'train_net: "train.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "s"'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with nets whose layers leave a trace when they are run, and weights and an image."""
    (tmp_path / f"{MODULE}.py").write_text(textwrap.dedent(CODE))
    for name, text in (("net", DEPLOY), ("train", TRAINED), ("solver", SOLVER), ("plain", _without_python())):
        (tmp_path / f"{name}.prototxt").write_text(text)
    Net(str(tmp_path / "plain.prototxt"), 1).save(str(tmp_path / "w.caffemodel"))
    cv2.imwrite(str(tmp_path / "i.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "w.csv").write_text("filename,ymin,xmin,ymax,xmax\ni.png,0,0,8,8\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    return tmp_path


def _without_python() -> str:
    return "\n".join(line for line in DEPLOY.splitlines() if "Python" not in line and '"t"' not in line)


def ran(folder: Path) -> int:
    """How often the module was run; it is forgotten after that."""
    sys.modules.pop(MODULE, None)
    trace = folder / "runs.txt"
    times = len(trace.read_text().splitlines()) if trace.exists() else 0
    trace.unlink(missing_ok=True)
    return times


LOOKS = {
    "net": ["net", "net.prototxt"],
    "draw": ["draw", "net.prototxt", "n.html"],
    "draw --shapes": ["draw", "net.prototxt", "n.svg", "--shapes"],
    "lint": ["lint", "net.prototxt"],
    "lint solver": ["lint", "solver.prototxt"],
    "weights": ["weights", "show", "w.caffemodel"],
    "upgrade": ["upgrade", "net", "net.prototxt", "new.prototxt"],
}
ASK = {
    "predict": ["predict", "net.prototxt", "w.caffemodel", "i.png", "--out", "out", "--blob", "t"],
    "explore": ["explore", "net.prototxt", "w.caffemodel", "i.png", "--out", "o.html", "--embeddings", "t",
                "--blob", "b"],
    "warm-up": ["warm-up", "net.prototxt"],
    "features": ["features", "w.caffemodel", "net.prototxt", "t", "o.npz", "--iterations", "1"],
    "classify": ["classify", "i.png", "o.npy", "--model_def", "net.prototxt", "--pretrained_model", "w.caffemodel",
                 "--mean_file", ""],
    "detect": ["detect", "w.csv", "o.csv", "--model_def", "net.prototxt", "--pretrained_model", "w.caffemodel",
               "--mean_file", "", "--context_pad", "0"],
    "export": ["export", "net.prototxt", "w.caffemodel", "o.onnx", "--custom", "own"],
}  # fmt: skip
RUN = {
    "train": ["train", "--solver", "solver.prototxt"],
    "test": ["test", "-model", "net.prototxt", "-iterations", "1"],
    "time": ["time", "-model", "net.prototxt", "-iterations", "1", "-phase", "TEST"],
}


@pytest.mark.parametrize("name", LOOKS)
def test_looking_runs_nothing(name: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(LOOKS[name]) == 0
    assert ran(folder) == 0
    if name in ("net", "draw --shapes", "lint", "lint solver"):
        told = capfd.readouterr()
        assert f'class Twice of the module "{MODULE}", {folder}/{MODULE}.py' in told.out + told.err


def test_masks_around_a_convolution_run_nothing(folder: Path) -> None:
    convolution = (
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
        "convolution_param { num_output: 2 kernel_size: 3 pad: 1 } }"
    )
    Path("masked.prototxt").write_text(f"{DEPLOY}{convolution}")
    assert main(["segawarify", "masked.prototxt", "--out", "masks", "--layers", "c"]) == 0
    assert ran(folder) == 0


def test_net_tells_what_it_left_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["net", "net.prototxt"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"known +Pooling +k 1x3x4x4", text)
    assert "outputs: k\n" in text, "x is read by a layer that was left out"
    assert 'layer "twice" (Python): class Twice' in text
    assert "shape unknown: t\n" in text
    assert "1 layer that read them: after\n  shape unknown, too: a\n" in text
    assert main(["net", "net.prototxt", "--json"]) == 0
    left_out = json.loads(capsys.readouterr().out)["left_out"]
    assert [(layer["name"], layer["module"]) for layer in left_out] == [
        ("twice", MODULE), ("again", MODULE), ("after", None)
    ]  # fmt: skip
    assert main(["net", "net.prototxt", "--allow-python"]) == 0
    assert "left out" not in capsys.readouterr().out
    assert ran(folder) == 1


def test_shapes_that_are_known_are_drawn(folder: Path) -> None:
    assert main(["draw", "net.prototxt", "n.svg", "--shapes"]) == 0
    text = (folder / "n.svg").read_text()
    assert "1 x 3 x 4 x 4" in text or "1x3x4x4" in text
    assert ">t<" in text, "drawn without a shape"
    assert main(["draw", "net.prototxt", "n.svg", "--shapes", "--allow-python"]) == 0
    assert ran(folder) == 1


def test_a_net_of_nothing_but_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "all.prototxt").write_text(f'layer {{ name: "p" {PYTHON} top: "x" }}')
    assert main(["net", "all.prototxt"]) == 0
    assert "shape unknown: x" in capsys.readouterr().out
    assert ran(folder) == 0


@pytest.mark.parametrize("name", ASK)
def test_what_only_computes_asks_first(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ASK[name]) == 2
    assert ran(folder) == 0
    told = " ".join(capsys.readouterr().err.split())
    assert f"{folder}/{MODULE}.py" in told
    assert "add --allow-python" in told
    assert main([*ASK[name], "--allow-python"]) == 0
    assert ran(folder) == 1


@pytest.mark.parametrize("name", RUN)
def test_what_runs_as_caffe_does_says_so_once(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(RUN[name]) == 0
    assert ran(folder) == 1
    told = capsys.readouterr().err
    assert told.count(f'running the module "{MODULE}", {folder}/{MODULE}.py') == 1
    assert main([*RUN[name], "--no-python"]) == 2
    assert ran(folder) == 0
    assert "--no-python refuses" in " ".join(capsys.readouterr().err.split())


def test_in_python_a_net_is_run_as_pycaffe_does(folder: Path) -> None:
    assert Net("net.prototxt", 1).blobs["t"].shape == (1, 3, 8, 8)
    assert ran(folder) == 1


def test_every_command_that_builds_nets_has_a_choice() -> None:
    commands = build_parser().commands()
    flags = {name: {flag for action in commands[name]._actions for flag in action.option_strings} for name in commands}
    assert sorted(name for name in flags if "--allow-python" in flags[name]) == sorted(
        [*ASK, "net", "draw", "segawarify"]
    )
    assert sorted(name for name in flags if "--no-python" in flags[name]) == sorted(RUN)


WRITER = """
layer {{ name: "in" type: "DummyData" top: "x" dummy_data_param {{ shape {{ dim: 1 dim: 2 dim: 1 dim: 1 }} }} }}
layer {{ name: "w" {} bottom: "x" {} }}
"""
SINKS = {
    "MatWrite": ('type: "MatWrite"', 'mat_write_param {{ prefix: "{}" }}', "out_iter_0_blob_0.mat"),
    "HDF5Output": ('type: "HDF5Output" bottom: "x"', 'hdf5_output_param {{ file_name: "{}" }}', "out_"),
}


@pytest.mark.parametrize("kind", SINKS)
@pytest.mark.parametrize("place", ["{folder}/elsewhere/out_", "../outside_"])
def test_only_what_runs_as_caffe_writes_where_a_net_says(
    kind: str, place: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = folder / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    named = place.format(folder=folder)
    layer, options, _ = SINKS[kind]
    Path("net.prototxt").write_text(WRITER.format(layer, options.format(named)))
    before = sorted(folder.rglob("*"))
    assert main(["net", "net.prototxt"]) == 0, "looking writes nothing, so it may be looked at"
    assert main(["features", "../w.caffemodel", "net.prototxt", "x", "o.npz", "--iterations", "1"]) == 2
    assert "outside of the current directory" in " ".join(capsys.readouterr().err.split())
    assert sorted(folder.rglob("*")) == before
    assert main(["test", "-model", "net.prototxt", "-iterations", "1"]) == 0
    assert len(sorted(folder.rglob("*"))) > len(before)


@pytest.mark.parametrize("kind", SINKS)
def test_below_the_current_directory_a_net_may_write(kind: str, folder: Path) -> None:
    layer, options, written = SINKS[kind]
    Path("sink.prototxt").write_text(WRITER.format(layer, options.format("deep/out_")))
    assert main(["features", "w.caffemodel", "sink.prototxt", "x", "o.npz", "--iterations", "1"]) == 0
    assert (folder / "deep" / written).is_file()


@pytest.mark.parametrize("prefix", ["", "/", "/somewhere/", "/somewhere/net", "../net"])
def test_out_keeps_snapshots_in_its_folder(prefix: str, folder: Path) -> None:
    text = TRAINED.replace(PYTHON, 'type: "ReLU"')
    Path("train.prototxt").write_text(text)
    Path("solver.prototxt").write_text(SOLVER.replace('"s"', f'"{prefix}"'))
    before = set(folder.iterdir())
    assert main(["train", "--solver", "solver.prototxt", "--out", "out"]) == 0
    assert set(folder.iterdir()) - before == {folder / "out"}
    assert len(list((folder / "out").glob("*_iter_1.caffemodel"))) == 1


@pytest.mark.parametrize("out", ["o.npz", "databases"])
@pytest.mark.parametrize("name", ["..", "../x", "/x"])
def test_blobs_of_any_name_stay_in_their_folder(name: str, out: str, folder: Path) -> None:
    Path("odd.prototxt").write_text(
        f'layer {{ name: "in" type: "DummyData" top: "{name}" dummy_data_param {{ shape {{ dim: 2 dim: 3 }} }} }}'
    )
    before = set(folder.rglob("*"))
    status = main(["features", "w.caffemodel", "odd.prototxt", name, out, "--iterations", "1"])
    assert status == (2 if out.endswith(".npz") else 0)
    assert {path for path in set(folder.rglob("*")) - before if folder / "databases" not in path.parents} <= {
        folder / "databases"
    }
    assert not Path("/x").exists()


def test_names_with_ends_of_lines_forge_no_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, names in enumerate((("x\\nFORGED", "y\\rFORGED"), ("x\\tFORGED", "y\\nFORGED"))):
        layers = 'layer {{ name: "{0}" type: "DummyData" top: "{0}" dummy_data_param {{ shape {{ dim: 1 dim: 2 }} }} }}'
        layers += ' layer {{ name: "{1}" type: "InnerProduct" bottom: "{0}" top: "{1}"'
        layers += " inner_product_param {{ num_output: 2 }} }}"
        Path(f"{number}.prototxt").write_text(layers.format(*names))
        Net(f"{number}.prototxt", 1).save(f"{number}.caffemodel")
    for words in (
        ["net", "0.prototxt", "--recompute", "auto", "--phase", "TRAIN"],
        ["weights", "show", "0.caffemodel"],
        ["weights", "diff", "0.caffemodel", "1.caffemodel"],
        ["time", "-model", "0.prototxt", "-iterations", "1"],
        ["lint", "0.prototxt"],
        ["features", "0.caffemodel", "0.prototxt", "x\nFORGED", "o.npz", "--iterations", "1"],
    ):
        main(words)
        lines = capsys.readouterr().out.splitlines()
        assert lines
        assert not [line for line in lines if line.startswith("FORGED")]
