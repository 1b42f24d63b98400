"""Imports run downwards: from room to room as tools/draw_house.py has them, and nowhere in a circle."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools.draw_house import FLOORS, PICTURE, circles, drawing, imports, modules, room

PACKAGE = ROOT / "segcaffe"
ORDER = [name for floor in FLOORS.values() for name in floor]


def upward(package: Path, order: list[str]) -> list[str]:
    """Imports of a room that does not stand below the importer's, as sentences."""
    return [
        f"{importer}, line {line}: {room(importer)} may not import {imported}"
        for importer, line, imported in imports(package)
        if room(importer) != room(imported) and order.index(room(imported)) > order.index(room(importer))
    ]


def circles_of(package: Path) -> list[list[str]]:
    arrows: dict[str, set[str]] = {name: set() for name in modules(package)}
    for importer, _, imported in imports(package):
        arrows[importer].add(imported)
    return circles(arrows)


def test_every_room_has_its_place() -> None:
    assert sorted(ORDER) == sorted({room(name) for name in modules(PACKAGE)})


def test_the_design_names_every_room() -> None:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("![")[0]
    rooms = [name for name in ORDER if name not in ("segcaffe", "__main__")]
    assert not [name for name in rooms if not re.search(rf"`(segcaffe/)?{name}(/|\.py)`", text)]


def test_no_room_imports_one_above() -> None:
    assert upward(PACKAGE, ORDER) == []


@pytest.mark.parametrize("folder", ["segcaffe", "benchmarks", "tools"])
def test_no_modules_import_each_other_in_a_circle(folder: str) -> None:
    assert circles_of(ROOT / folder) == []


def test_the_picture_is_up_to_date() -> None:
    assert PICTURE.read_text(encoding="utf-8") == drawing(), "run: python tools/draw_house.py"


@pytest.mark.parametrize(
    "statement",
    [
        "import house.roof.tiles",
        "from house.roof import tiles",
        "from house import roof",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.roof.tiles import Tile",
        "def lay():\n    import house.roof.tiles as tiles\n    return tiles",
        "import importlib\nimportlib.import_module('house.roof.tiles')",
        "PLACES = {'Tile': 'house.roof.tiles:Tile'}",
    ],
)
def test_arrows_are_found_however_they_are_written(statement: str, tmp_path: Path) -> None:
    files = {"__init__.py": "", "cellar.py": statement, "roof/__init__.py": "", "roof/tiles.py": "import house.cellar"}
    (tmp_path / "house" / "roof").mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / "house" / name).write_text(text)
    [sentence] = upward(tmp_path / "house", ["cellar", "roof", "house"])
    assert re.fullmatch(r"house\.cellar, line \d: cellar may not import house\.roof(\.tiles)?", sentence)
    circle = [["house.cellar", "house.roof.tiles"]] if "tiles" in statement else []
    assert circles_of(tmp_path / "house") == circle
