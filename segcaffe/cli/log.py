"""Log lines as Caffe's glog writes them, to the terminal and to a file: people's log parsers read these."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segcaffe.errors import SegcaffeError

log = logging.getLogger("segcaffe")
ANNOUNCEMENTS = "segcaffe.compile"
"""Logger of what people on a terminal are told by every command, in plain words: why the first run takes long."""


class GlogFormatter(logging.Formatter):
    """``I1231 23:59:59.123456 12345 solver.py:42] message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Prefix every line of the message."""
        stamp = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        micros = int(record.created % 1 * 1e6)
        level = "W" if record.levelno == logging.WARNING else record.levelname[0]
        prefix = f"{level}{stamp}.{micros:06d} {record.process:>5} {record.filename}:{record.lineno}] "
        return "\n".join(prefix + line for line in record.getMessage().splitlines())


class _TerminalHandler(logging.Handler):
    """Writes above a progress bar rather than through it."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record), file=sys.stderr)


def show_announcements() -> None:
    """From now on print what is announced to the terminal."""
    logger = logging.getLogger(ANNOUNCEMENTS)
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        logger.addHandler(_TerminalHandler())


@contextmanager
def start_log(folder: str | None, name: str, *, quiet: bool = False) -> Iterator[Path | None]:
    """Send log lines to the terminal (warnings only if ``quiet``) and to ``<folder>/<name>.log`` while it lasts.

    Raises SegcaffeError where the file cannot be written.
    """
    handlers: list[logging.Handler] = [_TerminalHandler(logging.WARNING if quiet else logging.INFO)]
    handlers[0].addFilter(lambda record: record.name != ANNOUNCEMENTS)
    path = None
    if folder is not None:
        path = Path(folder) / f"{name}.log"
        handlers.append(_file_handler(path))
    for handler in handlers:
        handler.setFormatter(GlogFormatter())
        log.addHandler(handler)
    level, propagate = log.level, log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield path
    finally:
        log.setLevel(level)
        log.propagate = propagate
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


def _file_handler(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise SegcaffeError(
            f"{path}: the log cannot be written: {error.strerror}. Choose another folder with --out."
        ) from error
