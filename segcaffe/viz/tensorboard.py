"""Training figures for TensorBoard."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcaffe.errors import SegcaffeError
from segcaffe.files.disk import why_unwritable
from segcaffe.glog import tell
from segcaffe.viz.logs import LOSS, RATE, LogReader

if TYPE_CHECKING:
    from segcaffe.solver.hooks import Progress
    from segcaffe.solver.solver import Solver

_SECONDS = 30
"""After which values are brought to the disk."""


@contextmanager
def tensorboard(solver: Solver, folder: str | None) -> Iterator[None]:
    """While it lasts, write loss and learning rate of each iteration, and every logged output, to event files.

    Parameters
    ----------
    folder:
        Where ``tensorboard --logdir`` finds them; None writes nothing. Where the solver goes on from a snapshot, what
        an earlier run wrote there for later iterations is no longer shown.

    Raises
    ------
    SegcaffeError
        The package tensorboardX is missing, or the folder can't be written.
    """
    if folder is None:
        yield
        return
    writer = _Events(folder, solver.iter)

    def advance(progress: Progress) -> None:
        writer.add_scalar("loss", progress.loss, progress.iter)
        writer.add_scalar("lr", progress.lr, progress.iter)

    handler = _LogScalars(writer)
    log = logging.getLogger("segcaffe")
    solver.add_progress(advance)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        writer.close()


class _LogScalars(logging.Handler):
    """Sends the outputs that the solver logs, of the train and the test nets."""

    def __init__(self, writer: Any) -> None:
        super().__init__(logging.INFO)
        self.writer, self.reader = writer, LogReader()

    def emit(self, record: logging.LogRecord) -> None:
        found = self.reader.read(record.getMessage())
        if found is not None and found[0] not in (LOSS, RATE):
            kind, _, output = found[0].partition(" ")
            tag = re.sub(r"[^\w.-]+", "_", output).strip("_")
            self.writer.add_scalar(f"{kind}/{tag}", found[2], found[1])


class _Events:
    """An event file. What it cannot take, on a full disk, is told of once; the training goes on without it.

    tensorboardX's own SummaryWriter leaves the writing to a thread, and waits for ever for one that has met an error.
    """

    def __init__(self, folder: str, done: int) -> None:
        try:
            from tensorboardX.proto import event_pb2
            from tensorboardX.record_writer import RecordWriter
            from tensorboardX.summary import scalar
        except ImportError as error:
            raise SegcaffeError(
                "TensorBoard files need the package tensorboardX. Install it: pip install tensorboardX."
            ) from error
        self._event, self._scalar = event_pb2.Event, scalar
        self._next_flush, self._told, self._open = 0.0, False, True
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._file = RecordWriter(str(Path(folder, _file_name())))
            self._write(file_version="brain.Event:2")
            if done:
                self._write(step=done + 1, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))
            self._file.flush()
        except OSError as error:
            raise SegcaffeError(f"--tensorboard {folder}: cannot be written: {why_unwritable(error)}.") from error
        self._folder = folder

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Note a value of an iteration."""
        if not self._open:
            return
        self._attempt(lambda: self._write(step=step, summary=self._scalar(tag, value)))
        if time.monotonic() >= self._next_flush:
            self._attempt(self._file.flush)
            self._next_flush = time.monotonic() + _SECONDS

    def close(self) -> None:
        """Write what is left."""
        self._attempt(self._file.flush)
        self._attempt(self._file.close)
        # The solver's hooks stay.
        self._open = False

    def _write(self, **fields: Any) -> None:
        self._file.write(self._event(wall_time=time.time(), **fields).SerializeToString())

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            if not self._told:
                self._told = True
                tell(f"warning: {self._folder}: values for TensorBoard are lost: {why_unwritable(error)}.")


def _file_name() -> str:
    """By which TensorBoard knows event files, and puts them in order; each writer has one of its own."""
    return f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
