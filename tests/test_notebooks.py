"""The notebooks of examples/ run from top to bottom and print what they hold, without Jupyter."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_there_are_some() -> None:
    assert [path.name for path in NOTEBOOKS] == ["net-surgery.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_print_what_the_notebook_holds(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in cells(path, "code"):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("".join(cell["source"]), f"{path.name}, {cell['id']}", "exec"), names)
        held = "".join(line for output in cell["outputs"] for line in output["text"])
        assert printed.getvalue() == held, f"{path.name}, {cell['id']}: write what it prints into its output"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_listed(path: Path) -> None:
    assert f"`examples/{path.name}`" in (ROOT / "docs" / "coming-from-caffe.md").read_text(encoding="utf-8")
    assert cells(path, "markdown")[0]["source"][0].startswith("# ")
