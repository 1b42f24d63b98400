"""Commands in processes forked from this one, which has imported everything: they begin at once."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segcaffe.cli.main import main


@dataclass
class Running:
    """A command that runs."""

    pid: int
    told: int
    """The end of a pipe, of what it writes to the terminal."""

    def wait(self) -> tuple[int, str]:
        """Its exit status (negative: the signal that ended it) and what it told, on one line."""
        with open(self.told, errors="replace") as pipe:  # noqa: PTH123 (a descriptor)
            told = " ".join(pipe.read().split())
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status), told

    def kill(self) -> None:
        """End it as nothing can be caught."""
        os.kill(self.pid, signal.SIGKILL)


def start(words: list[str], folder: Path, begin: float = 0.0) -> Running:
    """Run a command in a folder, from the moment ``begin`` (of `time.time`) on."""
    return fork(lambda: main(words), folder, begin)


def fork(action: Callable[[], int], folder: Path, begin: float = 0.0) -> Running:
    """Do something in a process of its own; what it returns is the exit status."""
    told, end = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(end)
        return Running(pid, told)
    status = 99
    try:
        os.chdir(folder)
        for stream in (1, 2):
            os.dup2(end, stream)
        os.close(end)
        # New ones: the old ones know what they were before, a file that can be gone back in, for example.
        sys.stdout, sys.stderr = (open(stream, "w", closefd=False) for stream in (1, 2))  # noqa: SIM115
        time.sleep(max(0.0, begin - time.time()))
        status = action()
        # What locks the command has forgotten to release, as the end of a process does.
        gc.collect()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run(words: list[str], folder: Path) -> tuple[int, str]:
    """Run a command to its end; its exit status and what it told."""
    return start(words, folder).wait()


def done(words: list[str], folder: Path) -> None:
    """Run a command that must succeed."""
    status, told = run(words, folder)
    assert status == 0, f"{' '.join(words)}: status {status}: {told}"
