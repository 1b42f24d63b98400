"""One writer at a time: a file beside what is written says which process is at it.

The system knows whether that process lives: it holds a lock on the file, which goes with the process however it ends.
A file whose process has gone is taken over by the next. Other machines may not be told of such locks, so a file that
another machine wrote stays until its writer, or the user, removes it. Nothing but segcaffe looks at these files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import weakref
from pathlib import Path

from segcaffe.errors import DataError, LockedError
from segcaffe.files.disk import why_unwritable
from segcaffe.files.holder import Holder
from segcaffe.files.there import check_name, exists, is_dir, is_file, is_link

_FAR = 1 << 30
"""Which byte is locked: none that is read, which locking prevents on Windows."""
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
IN_FOLDER = ".lock"
"""The lock of a folder that results are added to, inside of it: what it lies in may not be writable."""


class Lock:
    """Holds a place against other processes until `release`, the end of a with statement, or that of the process."""

    def __init__(self, held: _Held | None) -> None:
        # Also when the last one who knows of the lock has forgotten it.
        self._release = weakref.finalize(self, _release, held, os.getpid())

    def release(self) -> None:
        """Let others write there."""
        self._release()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock(target: Path, doing: str, advice: str, inside: bool = False) -> Lock:
    """Keep other processes from writing to ``target``: to files of that name, or that begin with it, as their use is.

    Within a process a place may be held several times. A device or a pipe needs no lock: it is no result that stays.

    Parameters
    ----------
    target:
        What is written. Its folder is made if it is missing.
    doing:
        What others are told that the process is doing: a command's name.
    advice:
        What whoever is kept from writing may do besides waiting: "choose another --out".
    inside:
        Whether ``target`` is a folder that files are added to.

    Raises
    ------
    LockedError
        Another process holds it; the message says which.
    DataError
        The file cannot be written.
    """
    target = target.resolve() if is_link(target) else target
    if exists(target) and not (is_file(target) or is_dir(target)):
        return Lock(None)
    file = target / IN_FOLDER if inside else target.with_name(f".{target.name}.lock")
    try:
        _make_folder(file.parent)
        file = file.parent.resolve() / file.name
        held = _hold(file, doing)
    except _TakenError as taken:
        raise LockedError(f'"{target}": {taken.holder.sentence(file)} {advice}.') from None
    except OSError as error:
        raise DataError(
            f'"{target}": cannot write there: {why_unwritable(error)} ("{file}"). What is there is unharmed.'
        ) from error
    return Lock(held)


class _Held:
    """A file that this process has locked."""

    def __init__(self, file: Path, descriptor: int) -> None:
        self.file, self.descriptor, self.count = file, descriptor, 0


class _TakenError(Exception):
    def __init__(self, holder: Holder) -> None:
        self.holder = holder


_guard = threading.RLock()
"""May be entered again: a lock can be forgotten, and so released, at any moment."""
_of_this_process: dict[Path, _Held] = {}


def _forget() -> None:
    """In a process that has been forked: what its parent holds is the parent's."""
    global _guard
    _guard = threading.RLock()
    _of_this_process.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _hold(file: Path, doing: str) -> _Held:
    with _guard:
        while True:
            held = _of_this_process.get(file)
            if held is None:
                held = _of_this_process[file] = _Held(file, _acquire(file, doing))
            held.count += 1
            # In between another lock on it may have been forgotten, and the file removed.
            if _of_this_process.get(file) is held:
                return held


def _release(held: _Held | None, process: int) -> None:
    if held is None or process != os.getpid():
        return
    with _guard:
        held.count -= 1
        if held.count == 0:
            del _of_this_process[held.file]
            _drop(held)


def _drop(held: _Held) -> None:
    """Remove the file while it is locked, so that no other process can have it by then, where the system allows it."""
    if os.name == "posix":
        held.file.unlink(missing_ok=True)
    os.close(held.descriptor)
    if os.name != "posix":
        with contextlib.suppress(OSError):
            held.file.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        # So says the system where a file stands in the folder's place, which is no answer to who wants to write there.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def _acquire(file: Path, doing: str) -> int:
    """The descriptor of the file, locked, with this process in it; _TakenError if another has it."""
    while True:
        descriptor = _open(file)
        try:
            alone = _try_lock(descriptor)
            found = Holder.read(descriptor)
            if alone is False or (found and found.keeps(system_knows=alone is True)):
                raise _TakenError(found or Holder.unknown())
            if _is_there(file, descriptor):
                _write(file, descriptor, doing)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # The one before has removed it since it was opened.
        os.close(descriptor)


def _open(file: Path) -> int:
    check_name(file)
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except PermissionError:
        if not os.access(file, os.R_OK):
            raise
        # Another user's: to be told of.
        with file.open("rb") as other:
            raise _TakenError(Holder.read(other.fileno()) or Holder.unknown()) from None


def _is_there(file: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write(file: Path, descriptor: int, doing: str) -> None:
    content = Holder.this_process(doing).encode()
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.ftruncate(descriptor, 0)
        if os.write(descriptor, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        file.unlink(missing_ok=True)
        raise


if sys.platform == "win32":

    def _try_lock(descriptor: int) -> bool | None:
        import msvcrt

        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            raise
        return True

else:

    def _try_lock(descriptor: int) -> bool | None:
        """Whether the lock could be had; None where the file system has none.

        Of the kind that belongs to one process: processes forked from it do not keep it when it ends.
        """
        import fcntl

        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _FAR)
        except OSError as error:
            return False if error.errno in _TAKEN else None
        return True
