"""Ways of writing options, as people's scripts for Caffe's tools have them (gflags)."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from segcaffe.cli.main import COMMANDS, build_parser
from segcaffe.cli.parser import Parser
from segcaffe.glog import Verbosity

PARSER = build_parser()
LEAVES = [leaf for name in COMMANDS for leaf in (PARSER.commands()[name].below() or [PARSER.commands()[name]])]
SWITCH = argparse._StoreTrueAction | argparse._StoreFalseAction


def parse(*words: str) -> argparse.Namespace:
    return PARSER.parse_args(list(words))


def make_db(*words: str) -> argparse.Namespace:
    return parse("data", "make-db", *words, "./", "list.txt", "db")


@pytest.mark.parametrize("written", ["--shuffle", "-shuffle", "--shuffle=true", "-shuffle=1", "--shuffle=True",
                                     "--shuffle=yes", "--shuffle=t", "--shuffle=Y", "--noshuffle=false"])  # fmt: skip
def test_a_switch_is_turned_on(written: str) -> None:
    options = make_db(written)
    assert options.shuffle is True
    assert (options.root, options.list, options.out) == ("./", "list.txt", "db")


@pytest.mark.parametrize("written", ["--noshuffle", "-noshuffle", "--no-shuffle", "--no_shuffle", "--shuffle=false",
                                     "-shuffle=0", "--shuffle=F", "--shuffle=NO", "--shuffle=n"])  # fmt: skip
def test_a_switch_is_turned_off(written: str) -> None:
    assert make_db(written).shuffle is False
    assert make_db("--shuffle", written).shuffle is False
    assert make_db(written, "--shuffle").shuffle is True, "the last counts"


@pytest.mark.parametrize(
    ("written", "fuse"),
    [
        ("--no-fuse", False),
        ("--nofuse", False),
        ("-no_fuse=true", False),
        ("--fuse", True),
        ("--fuse=false", False),
        ("--no-fuse=0", True),
    ],
)
def test_a_switch_whose_name_is_a_negation(written: str, fuse: bool) -> None:
    assert parse("net", "net.prototxt", written).fuse is fuse


def test_a_switch_takes_no_other_value(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        make_db("--gray=maybe")
    assert stop.value.code == 2
    assert "segcaffe data make-db: --gray is a switch: alone, or =true or =false. Received: --gray=maybe." in " ".join(
        capsys.readouterr().err.split()
    )


def _ways(flag: str) -> set[str]:
    name = flag.lstrip("-")
    return {dashes + name.replace(old, new) for dashes in ("-", "--") for old, new in ("_-", "-_")}


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.prog)
def test_every_option_of_every_command_is_written_in_all_ways(leaf: Parser) -> None:
    needed: dict[str, str] = {}
    for action in leaf._actions:
        if action.required:
            needed[action.dest] = str(next(iter(action.choices))) if action.choices else "x"
    positional = [value for dest, value in needed.items() if not _of(leaf, dest).option_strings]
    for action in leaf._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        for flag in (flag for flag in action.option_strings if flag.startswith("--")):
            others = [f"{_of(leaf, dest).option_strings[0]}=x" for dest in needed
                      if _of(leaf, dest).option_strings and dest != action.dest]  # fmt: skip
            for written in _ways(flag):
                _check(leaf, action, written, [*others], positional)


def _of(leaf: Parser, dest: str) -> argparse.Action:
    return next(action for action in leaf._actions if action.dest == dest)


def _value(action: argparse.Action) -> tuple[str, Any]:
    """A value that the option takes, as it is written and as it is read."""
    if action.choices or not callable(action.type):
        text = str(next(iter(action.choices))) if action.choices else "3"
        return text, action.type(text) if callable(action.type) else text
    try:
        return "3", action.type("3")
    except argparse.ArgumentTypeError:
        return "64", action.type("64")


def _check(leaf: Parser, action: argparse.Action, written: str, others: list[str], positional: list[str]) -> None:
    if isinstance(action, SWITCH):
        on = action.const
        for words, value in (([written], on), ([f"{written}=true"], on), ([f"{written}=0"], not on)):
            assert getattr(leaf.parse_args([*others, *words, *positional]), action.dest) is value
    elif action.nargs is None:
        text, expected = _value(action)
        for words in ([written, text], [f"{written}={text}"]):
            read = getattr(leaf.parse_args([*others, *words, *positional]), action.dest)
            assert (read[-1] if isinstance(read, list) else read) == expected


@pytest.mark.parametrize("words", [["device_query"], ["device-query", "-gpu", "all"], ["data", "import_voc", "a", "b"]])
def test_commands_are_written_with_dash_or_underscore(words: list[str]) -> None:
    assert parse(*words).command == words[0].replace("_", "-")


@pytest.mark.parametrize(
    ("words", "gpu"),
    [
        (["--gpu", "in.jpg", "out.npy"], "0"),
        (["-gpu", "2", "in.jpg", "out.npy"], "2"),
        (["in.jpg", "out.npy", "--gpu"], "0"),
        (["--gpu=1", "in.jpg", "out.npy"], "1"),
        (["--gpu", "--center_only", "in.jpg", "out.npy"], "0"),
        (["in.jpg", "out.npy"], None),
    ],
)
def test_the_gpu_needs_no_number(words: list[str], gpu: str | None) -> None:
    read = parse("classify", *words, "--model_def", "d", "--pretrained_model", "w")
    assert (read.gpu, read.input_file, read.output_file) == (gpu, "in.jpg", "out.npy")


def test_a_value_may_begin_with_a_dash() -> None:
    options = parse(
        "predict", "net", "weights", "images", "-out", "there", "-mean", "-104.0,-116.7,.5", "--scale", "-.5"
    )
    assert options.mean == "-104.0,-116.7,.5"
    assert options.scale == -0.5


@pytest.mark.parametrize("switch", ["--logtostderr", "-alsologtostderr=1", "--logtostderr=false"])
def test_switches_of_glog_change_nothing(switch: str) -> None:
    assert parse("net", "net.prototxt", switch).file == "net.prototxt"
    assert make_db(switch).out == "db"


def test_a_value_may_be_empty() -> None:
    assert parse("data", "check", "list", "--root", "").root == ""
    assert parse("data", "check", "list", "--root=").root == ""


def test_words_after_two_dashes_are_no_options() -> None:
    options = parse("data", "make-db", "--gray", "--", "--gray=false", "-shuffle", "db")
    assert (options.gray, options.root, options.list) == (True, "--gray=false", "-shuffle")


def test_the_backend_of_a_database_that_is_read(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2
    import numpy as np

    from segcaffe.cli.main import main

    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 5, 3), 40, np.uint8))
    (tmp_path / "list.txt").write_text("a.png 0\n")
    database, target = str(tmp_path / "db"), str(tmp_path / "mean.binaryproto")
    assert main(["data", "make_db", "-encoded=True", f"{tmp_path}/", str(tmp_path / "list.txt"), database]) == 0
    assert main(["data", "mean", "-backend", "lmdb", database, target]) == 0
    capsys.readouterr()
    assert main(["data", "mean", "--backend=leveldb", database, target]) == 2
    assert "is lmdb, not leveldb, as --backend says." in " ".join(capsys.readouterr().err.split())
    assert main(["data", "show", "--backend=lmdb", str(tmp_path / "list.txt")]) == 2
    assert "is no database, not lmdb" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "line",
    [
        "-solver x.prototxt train",
        "--solver=x.prototxt -gpu 0 train",
        "-gpu 0 train -solver x.prototxt",
        "-alsologtostderr train --solver x.prototxt",
    ],
)
def test_options_may_stand_before_the_command(line: str) -> None:
    options = parse(*line.split())
    assert (options.command, options.solver) == ("train", "x.prototxt")


def test_options_before_a_command_inside_another() -> None:
    options = parse("data", "--gray", "make-db", "./", "list.txt", "db")
    assert (options.action, options.gray, options.out) == ("make-db", True, "db")


def test_a_word_that_is_a_commands_name_stays_a_value() -> None:
    options = parse("-model", "x.prototxt", "-phase", "test", "time")
    assert (options.command, options.phase) == ("time", "test")


@pytest.mark.parametrize(("level", "verbosity"), [("0", Verbosity.NORMAL), ("1", Verbosity.QUIET)])
def test_glogs_options_choose_what_is_printed(level: str, verbosity: Verbosity) -> None:
    options = parse("train", "--solver", "x.prototxt", f"--minloglevel={level}", "-stderrthreshold", "2")
    assert options.verbosity is verbosity


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("eval pred --trimap 0 labels -q", {"predictions": "pred", "labels": "labels", "trimap": 0}),
        ("eval --trimap 0 pred labels", {"predictions": "pred", "labels": "labels", "trimap": 0}),
        ("eval pred --trimap 0", {"predictions": "pred", "labels": None}),
        ("data mean db --backend lmdb mean.binaryproto", {"source": "db", "out": "mean.binaryproto"}),
        ("plot a.log --out p.png b.log", {"logs": ["a.log", "b.log"], "out": "p.png"}),
        ("weights merge a.npz --out m.npz b.npz", {"sources": ["a.npz", "b.npz"], "out": "m.npz"}),
        ("predict --gpu n.prototxt w.npz --out o a.png", {"net": "n.prototxt", "weights": "w.npz", "gpu": "0"}),
        ("data show --out s.png -- -list.txt", {"source": "-list.txt", "out": "s.png"}),
    ],
)
def test_options_stand_anywhere_among_the_arguments(line: str, expected: dict[str, object]) -> None:
    options = vars(parse(*line.split()))
    assert {name: options[name] for name in expected} == expected
