"""Training figures for TensorBoard."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from segcaffe.errors import SegcaffeError
from segcaffe.viz.logs import LOSS, RATE, LogReader

if TYPE_CHECKING:
    from segcaffe.solver.solver import Progress, Solver


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
    writer = _open(folder, solver.iter)

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


def _open(folder: str, done: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise SegcaffeError(
            "TensorBoard files need the package tensorboardX. Install it: pip install tensorboardX."
        ) from error
    try:
        return SummaryWriter(folder, purge_step=done + 1 if done else None)
    except OSError as error:
        raise SegcaffeError(f"--tensorboard {folder}: cannot be written: {error.strerror or error}.") from error
