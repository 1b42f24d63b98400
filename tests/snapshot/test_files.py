"""Files: written whole or not at all, with errors that are sentences."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segcaffe.data.files import write_bytes
from segcaffe.errors import WeightsError
from segcaffe.files.process import place as this_place
from segcaffe.snapshot import files


def test_write_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    files.write_file(path, b"old")
    files.write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_link_points_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("there")
    for content in (b"old", b"new"):
        files.write_file(tmp_path / "link", content)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    for write in (lambda: files.write_file(path, b"content"), lambda: write_bytes(path, b"content", "test")):
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        write()
        assert os.read(reader, 100) == b"content"
        os.close(reader)
        assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    files.write_file(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WeightsError, match=r"a\.bin: the file cannot be written: the disk is full \(No space"):
        files.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    files.write_file(path, b"old")

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def _dead_process() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.parametrize(
    ("place", "alive", "hours", "stays"),
    [
        (None, False, 0, False),
        (None, True, 0, True),
        ("0" * 8, False, 0, True),
        ("0" * 8, True, 23, True),
        ("0" * 8, True, 25, False),
    ],
    ids=["dead", "alive", "elsewhere", "elsewhere a while ago", "elsewhere long ago"],
)
def test_what_a_killed_process_left_is_removed(
    place: str | None, alive: bool, hours: int, stays: bool, tmp_path: Path
) -> None:
    process = os.getppid() if alive else _dead_process()
    left = tmp_path / f".a.bin.{place or this_place()}-{process}-0123abcd.tmp"
    others = [tmp_path / f".b.bin.{this_place()}-{process}.tmp", tmp_path / ".a.bin.tmp", tmp_path / ".a.bin.x.tmp"]
    for file in (left, *others):
        file.write_bytes(b"part")
        os.utime(file, (time.time() - 3600 * hours,) * 2)
    files.write_file(tmp_path / "a.bin", b"new")
    assert left.exists() == stays
    assert all(file.exists() for file in others)


def test_a_process_killed_while_it_writes_leaves_what_the_next_removes(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from segcaffe.snapshot import files;"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL);"
        "files.write_file(sys.argv[1], b'part')"
    )
    path = tmp_path / "a.bin"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode != 0
    assert [file.name.endswith(".tmp") for file in tmp_path.iterdir()] == [True]
    files.write_file(path, b"whole")
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"Create the folder .*none first"):
        files.write_file(tmp_path / "none" / "a.bin", b"x")


def test_missing_snapshot_folder_is_made(tmp_path: Path) -> None:
    files.check_writable(tmp_path / "deep" / "er" / "snap")
    assert (tmp_path / "deep" / "er").is_dir()
    files.check_writable(f"{tmp_path / 'other'}/")
    assert (tmp_path / "other").is_dir()
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"the folder .*below cannot be made: Not a directory\. Choose another"):
        files.check_writable(tmp_path / "file" / "below" / "snap")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"a\.bin: the file cannot be read: No such file"):
        files.read_file(tmp_path / "a.bin")
    with pytest.raises(WeightsError, match=r"a\.bin: the file cannot be read"):
        files.is_hdf5(tmp_path / "a.bin")
