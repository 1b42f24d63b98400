"""The table of docs/recipes.md is what its commands give."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "recipes.md").read_text()
SEED = 1


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "measure_recipes.py"))


def test_every_number_has_its_spread(tool: dict[str, Any]) -> None:
    printed = tool["printed"](PAGE)
    assert list(printed) == ["plain", "segaware", "segaware_crf"]
    for cells in printed.values():
        assert len(cells) == 3
        assert all(0 < spread < mean for mean, spread in cells)


def test_the_table_is_written_as_it_is_read(tool: dict[str, Any]) -> None:
    results = [dict.fromkeys(tool["NETS"], (80.0, 50.0, 60.0)), dict.fromkeys(tool["NETS"], (82.0, 54.0, 66.0))]
    page = f"before\n{tool['BEGIN']}{tool['table'](results)}{tool['END']}after\n"
    cells = [(81.0, 1.4), (52.0, 2.8), (63.0, 4.2)]
    assert tool["printed"](page) == dict.fromkeys(tool["NETS"], cells)


def test_all_nets_are_trained_for_the_same_number_of_iterations(tool: dict[str, Any]) -> None:
    """Counted along the chain of weights that each net starts from, training of embeddings apart."""
    trained: dict[str, int] = {}
    for command in tool["commands"](PAGE):
        if command[1] == "train":
            options = dict(zip(command[2::2], command[3::2], strict=False))
            kind = Path(options["--solver"]).stem.removesuffix("_solver")
            folder = next(word for word in command if word.startswith("OUT=")).removeprefix("OUT=")
            before = 0 if kind == "embs" else trained.get(options.get("--weights", ""), 0)
            trained[f"{folder}/{kind}_iter_120.caffemodel"] = before + (0 if kind == "embs" else 120)
    predicted = [command[3] for command in tool["commands"](PAGE) if command[1] == "predict"]
    assert len(predicted) == 3
    assert {trained[weights] for weights in predicted} == {240}


@pytest.mark.slow
def test_the_page_s_commands_give_its_numbers(tool: dict[str, Any], tmp_path: Path) -> None:
    """One seed lies where the table says; near boundaries each step is better than the one before."""
    found = tool["measure"](SEED, tmp_path)
    for net, cells in tool["printed"](PAGE).items():
        for value, (mean, spread) in zip(found[net], cells, strict=True):
            assert abs(value - mean) < 3 * spread + 1, f"{net}: {found[net]}, printed {cells}"
    plain, segaware, crf = (found[net][1] for net in ("plain", "segaware", "segaware_crf"))
    assert plain + 3 < segaware
    assert segaware - 1 < crf
