"""Every help ends with examples, and every example is one that the command takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from segcaffe.cli.examples import EXAMPLES
from segcaffe.cli.main import build_parser
from segcaffe.cli.parser import Parser
from tests.conftest import ROOT

PARSER = build_parser()


def parsers(parser: Parser) -> Iterator[Parser]:
    yield parser
    for inner in parser.below():
        yield from parsers(inner)


@pytest.mark.parametrize("parser", list(parsers(PARSER)), ids=lambda parser: parser.prog)
def test_help_has_examples(parser: Parser) -> None:
    told = parser.format_help()
    shown = told[told.index("examples:\n") :].splitlines()[1:]
    assert shown == [f"  {line}" for line in parser.examples]
    assert shown, "at least one"


@pytest.mark.parametrize("command", list(EXAMPLES))
def test_examples_are_taken(command: str) -> None:
    for line in EXAMPLES[command]:
        words = shlex.split(re.sub(r"^source <\((.*)\)$", r"\1", line).partition(" > ")[0])
        assert words[0] == "segcaffe"
        options = PARSER.parse_args(words[1:])
        below = options.parser.prog.removeprefix("segcaffe ")
        if options.command == "help":
            below = PARSER.inner(options.words).prog.removeprefix("segcaffe ")
        assert below.startswith(command) or command == "help", f"{line} is an example of {below}, not of {command}"


def test_configurations_in_examples_exist() -> None:
    for line in (line for lines in EXAMPLES.values() for line in lines):
        for path in re.findall(r"\bconfigs/\S+", line):
            assert (ROOT / path).is_file(), line
