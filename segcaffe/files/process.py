"""Processes and machines: where a number of a process means the same, and whether such a process still runs."""

from __future__ import annotations

import functools
import hashlib
import os
import socket
from pathlib import Path


@functools.cache
def place() -> str:
    """Eight letters for the machine and, on Linux, the container: where numbers of processes mean the same."""
    namespace = Path("/proc/self/ns/pid")
    container = str(namespace.readlink()) if namespace.exists() else ""
    return hashlib.sha256(f"{socket.gethostname()} {container}".encode()).hexdigest()[:8]


@functools.cache
def kernel() -> str:
    """What Linux calls itself since it was started, the same in all containers of a machine; elsewhere nothing."""
    return _line("/proc/sys/kernel/random/boot_id")


@functools.cache
def machine() -> str:
    """What an installation of Linux calls itself; elsewhere nothing."""
    return _line("/etc/machine-id")


def runs(process: int) -> bool:
    """Whether a process of this `place` runs; True where that cannot be asked."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
