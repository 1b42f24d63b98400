"""Another process that holds a lock, for tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLDER = """
import sys
from pathlib import Path
from segcaffe.files.lock import lock
held = lock(Path(sys.argv[1]), "train", "choose another", inside=sys.argv[2] == "inside")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def another_process_writes(target: Path, inside: bool = False) -> Iterator[subprocess.Popen[str]]:
    """While it lasts a process holds the lock of ``target``; it is killed at the end."""
    command = [sys.executable, "-c", HOLDER, str(target), "inside" if inside else "beside"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()
