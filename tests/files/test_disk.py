"""What is written is new: nothing that lies in the folder beforehand leads it elsewhere."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.files import leftovers, process
from segcaffe.files.disk import create, replacing
from segcaffe.files.lock import lock


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where "a" is going to be written: the name is made known to whoever else writes to the folder."""
    monkeypatch.setattr(leftovers.secrets, "token_hex", lambda count: "0" * 2 * count)
    return tmp_path / f".a.{process.place()}-{os.getpid()}-00000000.tmp"


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("leads", ["somewhere", "nowhere"])
def test_a_link_laid_in_the_place_is_not_followed(folder: bool, leads: str, tmp_path: Path, beside: Path) -> None:
    other = tmp_path / "other"
    if leads == "somewhere" and folder:
        other.mkdir()
    elif leads == "somewhere":
        other.write_bytes(b"mine")
    beside.symlink_to(other)
    with pytest.raises(FileExistsError), replacing(tmp_path / "a", folder=folder) as part:
        (part / "x" if folder else part).write_bytes(b"new")
    assert not (tmp_path / "a").exists()
    assert beside.is_symlink()
    if leads == "nowhere":
        assert not other.exists()
    else:
        assert list(other.iterdir()) == [] if folder else other.read_bytes() == b"mine"


def test_each_writer_has_a_place_of_its_own(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as first, replacing(tmp_path / "a") as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_the_file_is_there_at_once_with_the_users_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        create(tmp_path / "a")
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_bytes() == b""
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    with pytest.raises(FileExistsError):
        create(tmp_path / "a")


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with replacing(tmp_path / "a", folder=True) as part:
        (part / "x").write_bytes(b"1")
        assert not (tmp_path / "a").exists()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x"]


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_a_name_that_no_file_can_have(folder: bool, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="null character"), replacing(tmp_path / "a\0b", folder=folder):
        pass
    with pytest.raises(SegcaffeError, match="null character"):
        lock(tmp_path / "a\0b", "test", "choose another name")
    assert list(tmp_path.iterdir()) == []
