"""Functions of pycaffe's module that are about the process: its log, its timer, its rank among solvers."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from segcaffe import device
from segcaffe.errors import DeviceError

_log = logging.getLogger("segcaffe")
_NO_NCCL = "NCCL: training on several GPUs through NCCL is not built in. Train on one GPU."
_SEVERITIES = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
_solvers = {"count": 1, "rank": 0, "multiprocess": False}


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
    """How many solvers train together; gradients are divided among them by whoever adds them up."""
    return _solvers["count"]


def set_solver_count(count: int) -> None:
    """Say how many solvers train together."""
    if count < 1:
        raise DeviceError(f"set_solver_count: at least 1. Received: {count}.")
    _solvers["count"] = int(count)


def solver_rank() -> int:
    """Number of this process's solver, from 0; the others keep quiet in pycaffe's multi-GPU scripts."""
    return _solvers["rank"]


def set_solver_rank(rank: int) -> None:
    """Say which of the solvers this process has."""
    if rank < 0:
        raise DeviceError(f"set_solver_rank: at least 0. Received: {rank}.")
    _solvers["rank"] = int(rank)


def set_multiprocess(multiprocess: bool) -> None:
    """Say whether the solvers are processes of their own; kept, and changes nothing here."""
    _solvers["multiprocess"] = bool(multiprocess)


def has_nccl() -> bool:
    """Whether several GPUs can train together through `NCCL`: they cannot."""
    return False


class NCCL:
    """What pycaffe's multi-GPU scripts create after asking `has_nccl`; creating one says that there is none."""

    def __init__(self, solver: Any, uid: str) -> None:
        raise DeviceError(_NO_NCCL)

    @staticmethod
    def new_uid() -> str:
        """Raise the error that creating one raises."""
        raise DeviceError(_NO_NCCL)
