"""The list of changes is in order, whatever merges made of it."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MERGED = """# Changelog

Beside the other lines of that area: Kernels, Nets and solvers, Checks (lint, messages).
[differences](docs/differences.md) says more.

## Unreleased

### Added

- **Checks:** first.
- **Kernels:** a line that two branches wrote in words that begin
  alike, until here.
- **Nets and solvers:** second.
- **Kernels:** a line that two branches wrote in words that begin alike, and end otherwise.
- **Checks:** first.

### Fixed

- **Checks:** first.
"""
IN_ORDER = """
- **Kernels:** a line that two branches wrote in words that begin alike, until here.
- **Nets and solvers:** second.
- **Checks:** first.

### Fixed

- **Checks:** first.
"""


@pytest.fixture(scope="module")
def ordered() -> Callable[[str], tuple[str, list[str]]]:
    function: Callable[[str], tuple[str, list[str]]]
    function = runpy.run_path(str(ROOT / "tools" / "sort_changelog.py"))["ordered"]
    return function


def test_the_page_is_in_order(ordered: Callable[[str], tuple[str, list[str]]]) -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text == ordered(text)[0], "run: python tools/sort_changelog.py"


def test_what_merges_leave_is_put_in_order(ordered: Callable[[str], tuple[str, list[str]]]) -> None:
    text, left_out = ordered(MERGED)
    assert text == MERGED[: MERGED.index("\n- **Checks")] + IN_ORDER
    assert left_out == ["- **Kernels:** a line that two branches wrote in words that begin alike, and end otherwise."]
    assert ordered(text) == (text, [])


def test_an_entry_without_an_area_is_an_error(ordered: Callable[[str], tuple[str, list[str]]]) -> None:
    with pytest.raises(SystemExit, match=r"one of Kernels, Nets and solvers, Checks: - \*\*Check:\*\* third"):
        ordered(MERGED + "- **Check:** third\n")
