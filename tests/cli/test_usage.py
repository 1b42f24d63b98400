"""Mistyped commands and options: one paragraph with what was probably meant, status 2."""

from __future__ import annotations

import ast
import json
import logging
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import segcaffe
from segcaffe.cli.main import COMMANDS, build_parser, main
from tests.conftest import ROOT

LOGGERS = [logging.getLogger("segcaffe"), logging.getLogger("segcaffe.compile")]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["trian"], "train"),
        (["train", "--sovler", "x"], "--solver"),
        (["train", "-solver", "x", "-wieghts=y"], "--weights"),
        (["data", "shwo", "x"], "show"),
        (["data", "mean", "x", "--rot", "y"], "--root"),
    ],
)
def test_the_nearest_name_is_told(words: list[str], meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"Did you mean {meant} instead of" in told
    assert "usage:" not in told


def test_a_right_word_is_not_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--solver"])
    assert "Did you mean" not in capsys.readouterr().err


def test_words_too_many_name_the_command_inside_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["weights", "show", "one", "two"])
    told = " ".join(capsys.readouterr().err.split())
    assert (
        told
        == "segcaffe weights show: unrecognized arguments: two. `segcaffe weights show --help` lists what there is."
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["plot", "no.log"], 'cannot read "no.log"'),
        (["eval", "absent", "here"], 'labels: cannot read the list "here"'),
        (["eval", "absent", "--submission", "x.tgz"], '"absent" is not a folder of predictions.'),
    ],
)
def test_a_command_is_named_once(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert " ".join(capsys.readouterr().err.split()).startswith(f"segcaffe {words[0]}: {told}")


def test_errors_do_not_name_commands() -> None:
    files = [path for path in (ROOT / "segcaffe").rglob("*.py") if path.name != "classifier.py"]
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    named = re.compile(rf"({'|'.join(COMMANDS)}): [a-z]")
    assert not [text for text in texts if named.match(text)]


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: segcaffe" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["data", "weights"])
def test_a_command_alone_lists_its_actions(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command]) == 2
    told = capsys.readouterr().out
    assert f"usage: segcaffe {command} " in told
    assert all(action in told for action in build_parser().commands()[command].commands())


def test_help_explains_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    for words, usage in (
        (["train"], "segcaffe train"),
        (["data", "make_db"], "segcaffe data make-db"),
        ([], "segcaffe"),
    ):
        assert main(["help", *words]) == 0
        assert f"usage: {usage} " in capsys.readouterr().out
    assert main(["help", "trian"]) == 2
    assert "has no command trian. It has: train," in capsys.readouterr().err


def test_the_package_is_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "segcaffe", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"segcaffe {segcaffe.__version__}\n"


def test_help_needs_no_heavy_library() -> None:
    heavy = ["numba", "cv2", "scipy", "h5py", "matplotlib", "cupy"]
    script = f"import sys, segcaffe.cli.main as m; m.build_parser(); print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


class TestVerbosity:
    @pytest.fixture
    def net(self, tmp_path: Path) -> str:
        """A net with 40 numbers as its output, and a layer whose weights are missing in a file."""
        path = tmp_path / "net.prototxt"
        path.write_text(
            'layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 1 dim: 2 } } }\n'
            'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 1 } }\n'
        )
        return str(path)

    @pytest.mark.parametrize("option", ["-q", "--quiet"])
    def test_quiet_leaves_results(self, net: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["test", "--model", net, "--iterations", "2", option]) == 0
        told = capsys.readouterr().err
        assert "ip = 0" in told
        assert "No --weights given" in told, "a warning"
        assert "Batch" not in told
        assert "Running" not in told

    def test_quiet_leaves_out_what_a_command_is_doing(
        self, net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for options, told in (([], True), (["-q"], False)):
            assert main(["draw", net, str(tmp_path / "net.svg"), *options]) == 0
            assert ("Drawing net" in capsys.readouterr().out) is told

    def test_log_lines_come_once(self, net: str, capsys: pytest.CaptureFixture[str]) -> None:
        for options in ([], ["-v"]):
            assert main(["test", "--model", net, "--iterations", "1", *options]) == 0
            assert capsys.readouterr().err.count("Batch 0, ip = 0") == 1

    def test_verbose_tells_where_an_error_arose(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["net", "no.prototxt", "-v"]) == 2
        told = capsys.readouterr().err
        assert "Traceback" in told
        assert told.rstrip().splitlines()[-1].startswith("segcaffe net: net no.prototxt: does not exist.")

    def test_verbose_logs_in_commands_that_log_nothing_else(self, net: str, capsys: pytest.CaptureFixture[str]) -> None:
        weights = str(Path(net).with_suffix(".caffemodel"))
        segcaffe.Net(net, segcaffe.TEST).save(weights)
        for options, lines in (([], 0), (["-v"], 1)):
            assert main(["time", "--model", net, "--weights", weights, "--iterations", "1", *options]) == 0
            assert capsys.readouterr().err.count("got weights") == lines

    def test_loggers_are_left_as_they_were(self, net: str) -> None:
        before = [(log.level, log.propagate, list(log.handlers)) for log in LOGGERS]
        assert main(["test", "--model", net, "--iterations", "1", "-v"]) == 0
        assert [(log.level, log.propagate, list(log.handlers)) for log in LOGGERS] == before

    def test_not_both(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            main(["net", "x", "-q", "-v"])
        assert "not allowed with" in capsys.readouterr().err


def test_time_warms_up_in_the_way_it_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers run one by one use kernels that a whole, fused net does without: to compile them is not measured."""
    from segcaffe.net.net import Net

    waits = iter([0.05] + [0.0] * 4)
    run_layers = Net.forward_from_to

    def slow_at_first(net: Net, start: int, end: int) -> object:
        if net.layer_names[start] == "ip":
            time.sleep(next(waits))
        return run_layers(net, start, end)

    monkeypatch.setattr(Net, "forward_from_to", slow_at_first)
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 1 dim: 2 } } }\n'
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 1 } }\n'
    )
    assert main(["time", "--model", str(path), "--iterations", "2", "--json"]) == 0
    layers = {layer["name"]: layer for layer in json.loads(capsys.readouterr().out)["layers"]}
    assert layers["ip"]["forward_ms"] < 20
