"""Names that no file has: there is nothing of them, and that is no error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from segcaffe.data.images import read_bytes
from segcaffe.errors import DataError, SegcaffeError
from segcaffe.files.disk import replacing
from segcaffe.files.lock import lock
from segcaffe.files.there import exists, is_dir, is_file, is_link

LONG = "x" * 5000


@pytest.mark.parametrize("look", [exists, is_file, is_dir, is_link])
@pytest.mark.parametrize("name", [LONG, "a\0b", "\udcff", "nothing/there", f"a/{LONG}/b"])
def test_names_that_no_file_has(look: Callable[[str | Path], bool], name: str) -> None:
    assert not look(name)
    assert not look(Path(name))


def test_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    assert [exists(tmp_path), is_dir(tmp_path), is_file(tmp_path), is_link(tmp_path)] == [True, True, False, False]
    assert [look(tmp_path / "link") for look in (exists, is_file, is_link)] == [True, True, True]


def test_a_name_that_is_too_long_is_told_of_at_once() -> None:
    with pytest.raises(DataError, match="File name too long"):
        read_bytes("a/" * 10_000, "list")


def test_writing_to_a_name_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match="directory"), replacing(Path()):
        pass
    with pytest.raises(SegcaffeError):
        lock(Path(LONG), "a test", "wait")
