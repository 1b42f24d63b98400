"""The commands in docs/data.md are ones the program takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from segcaffe.cli.main import build_parser

PAGE = Path(__file__).resolve().parent.parent / "docs" / "data.md"
BLOCKS = re.findall(r"^```\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("segcaffe ")]


def test_there_are_commands() -> None:
    assert len(LINES) > 12


@pytest.mark.parametrize("line", LINES)
def test_options_exist(line: str) -> None:
    build_parser().parse_args(shlex.split(line)[1:])
