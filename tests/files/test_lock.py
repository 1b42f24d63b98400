"""One writer at a time: who may write, who is told what, and whose lock goes with its process."""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from segcaffe.errors import LockedError, SegcaffeError
from segcaffe.files import process
from segcaffe.files.holder import Holder
from segcaffe.files.lock import lock
from tests.files.others import another_process_writes

TRY = """
import sys
from pathlib import Path
from segcaffe.errors import LockedError
from segcaffe.files.lock import lock
try:
    lock(Path(sys.argv[1]), "train", "choose another")
    print("held")
except LockedError as error:
    print(error)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of "snap"."""
    with another_process_writes(tmp_path / "snap") as child:
        yield child


def _try(path: Path) -> str:
    return subprocess.run([sys.executable, "-c", TRY, str(path)], capture_output=True, text=True, check=True).stdout


def _left_by(holder: Holder, folder: Path) -> Path:
    file = folder / ".snap.lock"
    file.write_bytes(holder.encode())
    return file


def _elsewhere(**changes: object) -> Holder:
    holder = Holder.this_process("train")
    return replace(holder, **{"process": 77, "host": "node3", "kernel": "k", "machine": "m", "place": "p"} | changes)


def test_another_process_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    with lock(tmp_path / "snap", "train", "choose another prefix"):
        told = _try(tmp_path / "snap")
    assert f'process {os.getpid()} on "{socket.gethostname()}" (train, since ' in told
    assert f'its lock is "{tmp_path / ".snap.lock"}". Wait until it has ended, or choose another.' in told
    assert _try(tmp_path / "snap") == "held\n"
    assert list(tmp_path.iterdir()) == []


def test_a_killed_processs_lock_is_taken_over(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    with pytest.raises(LockedError, match=rf"process {other.pid} on"):
        lock(tmp_path / "snap", "train", "choose another")
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / ".snap.lock").exists()
    with lock(tmp_path / "snap", "train", "choose another"):
        assert json.loads((tmp_path / ".snap.lock").read_text())["process"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_an_ended_processs_lock_is_gone(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.communicate("")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
def test_a_forked_process_neither_has_nor_removes_the_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from segcaffe.files.lock import lock\n"
        "held = lock(Path(sys.argv[1]), 'train', 'x')\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    held.release(); print(Path(sys.argv[1]).with_name('.snap.lock').exists(), flush=True); os._exit(0)\n"
        "os.waitpid(child, 0); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "snap")], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
    assert _try(tmp_path / "snap") == "held\n"


def test_within_a_process_it_is_held_until_the_last_has_let_go(tmp_path: Path) -> None:
    first, second = (lock(tmp_path / "snap", "train", "x") for _ in range(2))
    first.release()
    first.release()
    assert "is writing there" in _try(tmp_path / "snap")
    second.release()
    assert _try(tmp_path / "snap") == "held\n"


def test_a_forgotten_lock_is_released(tmp_path: Path) -> None:
    held = lock(tmp_path / "snap", "train", "x")
    assert (tmp_path / ".snap.lock").exists()
    del held
    gc.collect()
    assert not (tmp_path / ".snap.lock").exists()


def test_another_hosts_lock_stays_until_the_user_removes_it(tmp_path: Path) -> None:
    file = _left_by(_elsewhere(), tmp_path)
    for _ in range(2):
        with pytest.raises(LockedError) as told:
            lock(tmp_path / "snap", "train", "choose another prefix")
    assert str(told.value) == (
        f'"{tmp_path / "snap"}": process 77 on "node3" (train, since '
        f'{json.loads(file.read_text())["since"]}) is writing there, or was: from "{socket.gethostname()}" that cannot '
        f'be seen. If it has ended, remove its lock "{file}"; or choose another prefix.'
    )
    file.unlink()
    lock(tmp_path / "snap", "train", "choose another prefix").release()


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(_elsewhere(kernel=process.kernel()), id="another container"),
        pytest.param(_elsewhere(host=socket.gethostname(), machine=process.machine()), id="before the last start"),
    ],
)
def test_what_ended_on_this_machine_is_taken_over(holder: Holder, tmp_path: Path) -> None:
    if not process.kernel() and holder.host == "node3":
        pytest.skip("this system does not say what its kernel is called")
    _left_by(holder, tmp_path)
    lock(tmp_path / "snap", "train", "x").release()


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"\n"])
def test_a_lock_that_was_never_written_is_taken_over(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".snap.lock").write_bytes(content)
    lock(tmp_path / "snap", "train", "x").release()


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"process": "x", "host": ""}', b"my own notes", b"[" * 4000])
def test_a_file_that_is_no_lock_of_ours_stays(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / ".snap.lock"
    file.write_bytes(content)
    with pytest.raises(LockedError, match="does not say which"):
        lock(tmp_path / "snap", "train", "x")
    assert file.read_bytes() == content


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX's locks")
@pytest.mark.parametrize("ended", [False, True])
def test_without_locks_of_the_system_the_process_is_looked_for(
    ended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", none)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    _left_by(replace(Holder.this_process("train"), process=child.pid if ended else os.getppid()), tmp_path)
    if ended:
        lock(tmp_path / "snap", "train", "x").release()
        assert list(tmp_path.iterdir()) == []
        return
    with pytest.raises(LockedError, match="is writing there"):
        lock(tmp_path / "snap", "train", "x")


def test_a_folder_has_its_lock_inside_and_links_lead_to_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    with lock(tmp_path / "link", "predict", "x", inside=True):
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
    with lock(tmp_path / "link", "make-db", "x"), lock(tmp_path / "out", "make-db", "x"):
        assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "link", "out"]


def test_a_link_in_the_locks_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".snap.lock").symlink_to("mine")
    with pytest.raises(SegcaffeError, match="cannot write there"):
        lock(tmp_path / "snap", "train", "x")
    assert not (tmp_path / "mine").exists()


def test_a_full_disk_is_told_and_leaves_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda *_: 0)
    with pytest.raises(SegcaffeError, match="the disk is full"):
        lock(tmp_path / "snap", "train", "x")
    assert list(tmp_path.iterdir()) == []


def test_the_file_says_who(tmp_path: Path) -> None:
    with lock(tmp_path / "snap", "train", "x"):
        content = json.loads((tmp_path / ".snap.lock").read_text())
    assert content == asdict(Holder.this_process("train")) | {"since": content["since"]}


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SegcaffeError, match="Not a directory"):
        lock(tmp_path / "file" / "db", "make-db", "choose another")
