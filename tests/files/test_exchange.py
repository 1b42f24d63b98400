"""A folder that takes another's place: at no moment is there none."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from segcaffe.files import leftovers, process, system
from segcaffe.files.disk import replacing, sync_folders, together
from segcaffe.files.leftovers import bring_back, clean_folder

ATTEMPTS = 60


def _make(path: Path, content: str) -> None:
    with replacing(path, folder=True) as part:
        (part / "x").write_text(content)


@pytest.fixture(params=[True, False], ids=["exchange", "without"])
def exchanges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bool:
    """Whether the system can exchange two names."""
    if not request.param:
        monkeypatch.setattr(system, "exchange", lambda one, other: False)
        return False
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    works = system.exchange(tmp_path / "one", tmp_path / "other")
    for name in ("one", "other"):
        (tmp_path / name).rmdir()
    return works


def test_a_folder_replaces_another_and_leaves_nothing(exchanges: bool, tmp_path: Path) -> None:
    for content in ("old", "new"):
        _make(tmp_path / "db", content)
    assert (tmp_path / "db" / "x").read_text() == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "db"]


def test_a_folder_replaces_a_file_but_no_file_a_folder(exchanges: bool, tmp_path: Path) -> None:
    path = tmp_path / "data.mdb"
    path.write_text("old")
    _make(path, "new")
    assert (path / "x").read_text() == "new"
    with pytest.raises(IsADirectoryError), replacing(path):
        pass
    assert (path / "x").read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_readers_find_one_at_every_moment(exchanges: bool, tmp_path: Path) -> None:
    if not exchanges:
        pytest.skip("here the old one steps aside for a moment, as test_a_moment_without_one_ends tells")
    path, missing, done = tmp_path / "db", [], threading.Event()
    _make(path, "0")

    def look() -> None:
        while not done.is_set():
            if not path.exists():
                missing.append(1)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(ATTEMPTS):
        _make(path, str(number))
    done.set()
    reader.join()
    assert not missing


def _of_dead_process(path: Path, kind: str) -> Path:
    """A name beside a path that a process which has ended would have used."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return path.with_name(f".{path.name}.{process.place()}-{child.pid}-0123abcd.{kind}")


@pytest.mark.parametrize("opened", ["to read", "to write"])
def test_a_moment_without_one_ends(opened: str, tmp_path: Path) -> None:
    # The process was killed after the old folder stepped aside and before the new one came.
    path = tmp_path / "db"
    aside, half = _of_dead_process(path, "old"), _of_dead_process(path, "tmp")
    for folder in (aside, half):
        folder.mkdir()
        (folder / "x").write_text(folder.suffix)
    if opened == "to read":
        bring_back(path)
        assert half.exists()
    else:
        leftovers.clean_up(path)
        assert not half.exists()
    assert (path / "x").read_text() == ".old"
    assert not aside.exists()


def test_what_stepped_aside_goes_when_the_new_one_has_come(tmp_path: Path) -> None:
    path = tmp_path / "db"
    _make(path, "new")
    aside = _of_dead_process(path, "old")
    aside.mkdir()
    bring_back(path)
    assert aside.exists()
    leftovers.clean_up(path)
    assert not aside.exists()
    assert (path / "x").read_text() == "new"


def test_where_the_new_one_cannot_come_the_old_one_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "db"
    _make(path, "old")
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError("no more")
        return replace(self, target)

    monkeypatch.setattr(system, "exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no more"):
        _make(path, "new")
    assert (path / "x").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_cleaned_of_what_is_ours(tmp_path: Path) -> None:
    ours, other = (_of_dead_process(tmp_path / name, "tmp") for name in ("snap_iter_7.caffemodel", "b"))
    mine = leftovers.name_beside(tmp_path / "snap_iter_8.caffemodel")
    for file in (ours, other, mine):
        file.write_bytes(b"part")
    clean_folder(tmp_path, lambda name: name.startswith("snap_iter_"))
    assert sorted(tmp_path.iterdir()) == sorted([other, mine])


def test_files_get_their_names_together_or_not_at_all(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    with together() as files:
        for path in paths:
            files.write(path, b"1")
        assert not any(path.exists() for path in paths)
        files.publish(*paths)
    with together() as files:
        files.write(paths[0], b"2")
        with pytest.raises(OSError, match="none"):
            files.write(tmp_path / "none" / "b", b"2")
    assert [path.read_bytes() for path in paths] == [b"1", b"1"]
    assert sorted(tmp_path.iterdir()) == paths


def test_folders_are_brought_to_the_disk_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(system, "sync_file_system", synced.append)
    (tmp_path / "a").mkdir()
    sync_folders(tmp_path, tmp_path / "a", tmp_path / "missing")
    assert synced == [tmp_path]
    monkeypatch.undo()
    sync_folders(tmp_path)
