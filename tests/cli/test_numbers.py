"""Numbers on the command line: every option has bounds, and says so."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from segcaffe.cli.main import build_parser, main
from segcaffe.cli.numbers import factor, finite, tolerance, whole
from segcaffe.cli.parser import Parser


def _options(parser: Parser) -> Iterator[argparse.Action]:
    for inner in parser.below():
        yield from _options(inner)
    yield from parser._actions


def test_no_option_takes_just_any_number() -> None:
    bounded = [action for action in _options(build_parser()) if action.type is not None]
    assert len(bounded) > 30
    for action in bounded:
        assert action.type not in (int, float), f"{action.option_strings}: give its bounds (segcaffe.cli.numbers)"


@pytest.mark.parametrize("text", ["9" * 5000, "4", "-3", "", "x", "1.0", "1e3", "\u0663", "1_0", "\u00b2"])
def test_what_is_no_whole_number_of_the_range(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"a whole number from -2 to 3\. Received: "):
        whole(-2, 3)(text)


def test_ends_are_in_the_range() -> None:
    assert [whole(-2, 3)(text) for text in ("-2", "3", "+1", " 0 ")] == [-2, 3, 1, 0]


@pytest.mark.parametrize("text", ["nan", "inf", "-1e999", "", "a number that is none at all, and as long as this one"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="needs a number"):
        finite(text)
    assert finite("-1e3") == -1000


def test_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["net", "x.prototxt", "--level", "9" * 5000])
    assert caught.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "argument --level: needs a whole number from -2147483647 to 2147483647. Received: 9999" in said
    assert len(said) < 300


@pytest.mark.parametrize("words", [["net", "x" * 5000], ["lint", "x" * 5000]])
def test_names_that_no_file_has(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["-1", "-1e-9", "nan", "x"])
def test_a_tolerance_is_0_or_more(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="needs a number"):
        tolerance(text)
    assert tolerance("0") == 0.0


def test_a_factor_is_not_zero() -> None:
    assert factor("-0.5") == -0.5
    with pytest.raises(argparse.ArgumentTypeError, match="other than 0"):
        factor("0.0")
