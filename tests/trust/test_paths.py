"""Names from data stay in their folder, whatever they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from segcaffe.errors import DataError
from segcaffe.trust.paths import as_file_name, check_inside, is_inside, leads_out

STAY = ["a", "a/b", "./a", "a/../b", "..a", "a..", "…", "a\nb", "-a"]
LEAVE = ["..", "../a", "a/../../b", "/a", "//a", "link", "link/a", "inner/out", "a\0"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with links out of it and into it, itself known by a link."""
    for name in ("real/inner", "real/a", "outside"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "real" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "real" / "inner" / "out").symlink_to(tmp_path / "nothing")
    (tmp_path / "real" / "home").symlink_to("inner")
    (tmp_path / "known").symlink_to("real")
    return tmp_path / "known"


@pytest.mark.parametrize("name", [*STAY, "home/a"])
def test_names_that_stay(name: str, folder: Path) -> None:
    assert is_inside(folder, folder / name)
    check_inside(folder, folder / name, "here")


@pytest.mark.parametrize("name", LEAVE)
def test_names_that_would_leave(name: str, folder: Path) -> None:
    assert not is_inside(folder, folder / name)
    with pytest.raises(DataError, match=r"(?s)here: .* would be written outside"):
        check_inside(folder, folder / name, "here")


@pytest.mark.parametrize("name", ["", ".", "..", "/", "../a", "a/b", "a\0b", "/etc/a"])
def test_one_name_of_any(name: str, tmp_path: Path) -> None:
    path = tmp_path / as_file_name(name)
    path.mkdir()
    assert path.resolve().parent == tmp_path.resolve()
    assert list(tmp_path.iterdir()) == [path]


def test_ordinary_names_are_left_alone() -> None:
    assert [as_file_name(name) for name in ("conv1", "a.b", "x_y-z", "...")] == ["conv1", "a.b", "x_y-z", "..."]


@pytest.mark.parametrize("name", ["../a", "a/../b", "/a", "..", "a\\..\\b", "\\a"])
def test_members_that_lead_out_of_an_archive(name: str) -> None:
    assert leads_out(name)


@pytest.mark.parametrize("name", ["a", "a/b", "..a", "a..b/c"])
def test_members_that_do_not(name: str) -> None:
    assert not leads_out(name)
