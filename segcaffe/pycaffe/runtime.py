"""Functions of pycaffe's module that are about the process: its log, its timer, its rank among solvers."""

from __future__ import annotations

import logging
import sys
import time

from segcaffe import device
from segcaffe.errors import DeviceError
from segcaffe.parallel import declare, group
from segcaffe.parallel.launch import launched
from segcaffe.parallel.nccl import library

_log = logging.getLogger("segcaffe")
_SEVERITIES = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def init_log(level: int = 0, stderr: bool = True) -> None:
    """Write log lines to the terminal, in glog's form.

    Parameters
    ----------
    level:
        The least severity shown: 0 information, 1 warnings, 2 errors, 3 nothing but fatal ones.
    stderr:
        Accepted as in pycaffe; lines always go to the terminal's error stream, files are the command line's.
    """
    from segcaffe.glog import GlogFormatter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(GlogFormatter())
    for old in [h for h in _log.handlers if isinstance(h.formatter, GlogFormatter)]:
        _log.removeHandler(old)
    _log.addHandler(handler)
    _log.setLevel(_SEVERITIES[min(max(level, 0), len(_SEVERITIES) - 1)])
    _log.propagate = False


def log(message: str) -> None:
    """Write a line of information to the log."""
    _log.info("%s", message, stacklevel=2)


class Timer:
    """A stopwatch that waits for the GPU: `start`, `stop`, then ``ms`` has the milliseconds in between."""

    def __init__(self) -> None:
        self.ms = 0.0
        self._started = 0.0

    def start(self) -> None:
        """Start, or start again."""
        device.synchronize()
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Stop, and set ``ms``."""
        device.synchronize()
        self.ms = 1e3 * (time.perf_counter() - self._started)


def solver_count() -> int:
    """How many solvers train together."""
    return group().size


def set_solver_count(count: int) -> None:
    """Say how many solvers train together: data are shared out among them, and `NCCL` averages their gradients."""
    if count < 1:
        raise DeviceError(f"set_solver_count: at least 1. Received: {count}.")
    declare(group().rank, int(count))


def solver_rank() -> int:
    """Number of this process's solver, from 0; the others do not test, log or save."""
    return group().rank


def set_solver_rank(rank: int) -> None:
    """Say which of the solvers this process has; its seed is the file's and that number."""
    if rank < 0:
        raise DeviceError(f"set_solver_rank: at least 0. Received: {rank}.")
    declare(int(rank), group().size)


def set_multiprocess(multiprocess: bool) -> None:
    """Say whether the solvers are processes of their own; they always are, and this changes nothing."""


def has_nccl() -> bool:
    """Whether several processes can train together through `NCCL`: mpiexec started them, or CuPy finds NCCL."""
    if group().joint or launched() > 1:
        return True
    try:
        return library() is not None
    except DeviceError:
        return False
