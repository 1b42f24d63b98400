"""tools/dependencies.py reads what the project needs, and tells where a Python lacks it; pip is not asked here."""

from __future__ import annotations

import re
import runpy
import sys
from typing import Any

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="tomllib, which the tool reads with, is Python 3.11's"
)
SCRIPT = ROOT / "tools" / "dependencies.py"
PROJECT = {
    "build-system": {"requires": ["builder>=2"]},
    "project": {
        "name": "own",
        "dependencies": ["first>=1.2,<2", "second"],
        "optional-dependencies": {
            "more": ["third[part]>=3", "fourth >=4; sys_platform != 'darwin'"],
            "all": ["own[more]", "first"],
        },
        "classifiers": ["Programming Language :: Python :: 3", "Programming Language :: Python :: 3.12",
                        "Programming Language :: Python :: 3.13"],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def ask(requirement: str, python: str) -> str:
    """An index where the newest release is 5.0, bounds end before that, and 3.13 has neither second nor third."""
    if python == "3.13" and re.match("second|third", requirement):
        return "-"
    return "1.9" if "<" in requirement else "5.0"


def test_names_bounds_and_whether_they_are_needed(tool: dict[str, Any]) -> None:
    found = tool["dependencies"](PROJECT)
    assert [tuple(one) for one in found.values()] == [
        ("first", ">=1.2,<2", True), ("second", "", True), ("builder", ">=2", True), ("third", ">=3", False),
        ("fourth", ">=4", False),
    ]  # fmt: skip
    assert tool["pythons"](PROJECT) == ["3.12", "3.13"]


def test_the_table_tells_what_bounds_forbid_and_what_is_missing(tool: dict[str, Any]) -> None:
    chosen = list(tool["dependencies"](PROJECT).values())
    rows = tool["table"](chosen, ["3.12", "3.13"], ask)
    assert rows[1] == ["first", ">=1.2,<2", "1.9 (5.0)", "1.9 (5.0)"]
    assert rows[2] == ["second", "", "5.0", "-"]
    assert rows[4] == ["third", ">=3", "5.0", "-"]
    assert next(tool["lines"](rows)) == "package  bounds    3.12       3.13"
    assert tool["missing"](chosen, rows) == ["second: no release for Python 3.13."]


def test_our_own_project_is_read_and_no_index_is_named(tool: dict[str, Any]) -> None:
    project = tool["tomllib"].loads((ROOT / "pyproject.toml").read_text())
    found = tool["dependencies"](project)
    assert found["numpy"].needed
    assert not found["lmdb"].needed
    assert "segcaffe" not in found
    assert tool["pythons"](project)[0] == project["project"]["requires-python"].removeprefix(">=")
    assert "://" not in SCRIPT.read_text()
