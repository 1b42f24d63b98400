"""Modules are found where Python would find them, and nothing of them runs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from segcaffe.trust.modules import Code, find_file

RUNS = "raise AssertionError('this was run')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory; what it holds fails when it is run."""
    (tmp_path / "pack" / "inner").mkdir(parents=True)
    (tmp_path / "bare").mkdir()
    for name in ("alone.py", "pack/__init__.py", "pack/inner/__init__.py", "pack/inner/leaf.py", "bare/leaf.py"):
        (tmp_path / name).write_text(RUNS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("alone", "alone.py"),
        ("pack", "pack/__init__.py"),
        ("pack.inner", "pack/inner/__init__.py"),
        ("pack.inner.leaf", "pack/inner/leaf.py"),
        ("bare.leaf", "bare/leaf.py"),
    ],
)
def test_a_module_of_the_current_directory(name: str, file: str, folder: Path) -> None:
    assert find_file(name) == str(folder / file)
    assert name.partition(".")[0] not in sys.modules


def test_the_current_directory_comes_first(folder: Path) -> None:
    assert find_file("wave") == importlib.util.find_spec("wave").origin  # type: ignore[union-attr]
    (folder / "wave.py").write_text(RUNS)
    assert find_file("wave") == str(folder / "wave.py")


def test_what_is_imported_already_is_what_runs(folder: Path) -> None:
    (folder / "pathlib.py").write_text(RUNS)
    assert find_file("pathlib") == sys.modules["pathlib"].__file__


@pytest.mark.parametrize("name", ["", ".", "..alone", "alone.", "alone.more", "pack.no.leaf", "none", "a/b", "a\0b"])
def test_what_is_no_module(name: str, folder: Path) -> None:
    assert find_file(name) is None


def test_what_python_brings_along(folder: Path) -> None:
    assert find_file("sys") == "built-in"
    assert str(Code("sys", "X")) == 'class X of the module "sys", built-in'
