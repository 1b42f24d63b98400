"""docs/reproduction.md: its tables are those of reports, and say what the page says."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from segcaffe.recipes.study.tables import CLAIM
from segcaffe.recipes.study.variants import CASCADE, CONTROL, MASKS, SCENES, compared
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "reproduction.md").read_text()
TITLES = {variant.name: variant.title for variant in compared(SCENES)}


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "measure_reproduction.py"))


def section(tool: dict[str, Any], name: str) -> str:
    begin, end = tool["marks"](name)
    return PAGE.partition(begin)[2].partition(end)[0]


def gains(tables: str, name: str, other: str) -> dict[str, tuple[float, float]]:
    """Mean gain and p by pixels."""
    found, title = {}, f"{TITLES[name]}, over {TITLES[other]}"
    current = ""
    for row in re.findall(r"^\| (.*?) \| (all|\d+ px) \| ([+-][\d.]+)[^|]*\| (\S+) \|", tables, re.MULTILINE):
        current = row[0].strip() or current
        if current == title:
            found[row[1]] = (float(row[2]), float(row[3]))
    return found


def test_each_step_of_the_claim_holds_on_scenes(tool: dict[str, Any]) -> None:
    tables = section(tool, "scenes")
    assert int(re.findall(r"(\d+) seeds", tables)[0]) >= 8
    for name, other in CLAIM:
        found = gains(tables, name, other)
        assert list(found) == ["all", "2 px", "5 px"]
        assert all(mean > 0 and p < 0.05 for mean, p in found.values())
        assert found["5 px"][0] > found["all"][0]
    assert gains(tables, CASCADE, CONTROL)["all"][0] > 0


@pytest.mark.parametrize("name", ["scenes", "camvid", "isbi"])
def test_the_page_has_all_its_tables(tool: dict[str, Any], name: str) -> None:
    tables = section(tool, name)
    assert f"| {TITLES[MASKS]} |" in tables
    assert "seeds." in tables


def test_tables_are_replaced(tool: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    (folder / "report").mkdir(parents=True)
    (folder / "report" / "results.json").write_text(json.dumps({"seeds": 2, "about": "Of three images."}))
    (folder / "report" / "table.md").write_text("| new |\n")
    (folder / "report" / "ablations.md").write_text("| changed |\n")
    tables = tool["tables_of"](folder)
    page = tool["written"](PAGE, "scenes", tables)
    begin, end = tool["marks"]("scenes")
    assert page.partition(begin)[2].partition(end)[0] == "\n2 seeds. Of three images.\n\n| new |\n\n"
    assert page.partition(end)[2] == PAGE.partition(end)[2]
    place = "".join(tool["marks"]("few", "ablations"))
    assert "\n2 seeds. Of three images.\n\n| changed |\n" in tool["written"](place, "few", tables)


def test_unknown_folders_are_told(tool: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="no place for the tables"):
        tool["written"](PAGE, "elsewhere", {"tables": "", "ablations": ""})
