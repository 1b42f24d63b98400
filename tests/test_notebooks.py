"""The notebooks of examples/ run from top to bottom and print what they hold, without Jupyter."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from tools.run_notebooks import read, run

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    notebook = read(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_there_are_some() -> None:
    assert [path.name for path in NOTEBOOKS] == [
        "crf-in-pytorch.ipynb", "looking-at-embeddings.ipynb", "net-surgery.ipynb"
    ]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_print_what_the_notebook_holds(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path.stem == "crf-in-pytorch":
        pytest.importorskip("torch", reason="the notebook runs PyTorch")
    monkeypatch.chdir(tmp_path)
    for cell, output in run(path, read(path)):
        held = [one for one in cell["outputs"] if one["output_type"] == "stream"]
        told = f"{path.name}, {cell['id']}: run tools/run_notebooks.py"
        assert output.printed == "".join(line for one in held for line in one["text"]), told
        pictures = [one["data"]["image/png"] for one in cell["outputs"] if one["output_type"] == "execute_result"]
        assert [_shape(base64.b64decode(one)) for one in pictures] == (
            [] if output.picture is None else [_shape(output.picture)]
        ), told


def _shape(picture: bytes) -> tuple[int, ...]:
    """What does not depend on the last bits of what is shown."""
    return tuple(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_listed(path: Path) -> None:
    assert f"`examples/{path.name}`" in (ROOT / "docs" / "coming-from-caffe.md").read_text(encoding="utf-8")
    assert cells(path, "markdown")[0]["source"][0].startswith("# ")
