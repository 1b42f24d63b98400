"""Log lines as Caffe's glog writes them, to the terminal and to a file: people's log parsers read these."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import IntEnum
from pathlib import Path

from segcaffe.errors import SegcaffeError
from segcaffe.files.disk import why_unwritable
from segcaffe.text.bars import bar_type, in_notebook
from segcaffe.text.visible import harmless

log = logging.getLogger("segcaffe")
ANNOUNCEMENTS = "segcaffe.compile"
"""Logger of what every command prints on a terminal, in plain words: why the first run takes long."""


_CAFFE_FILES = {
    "solver.py": "solver.cpp",
    "report.py": "solver.cpp",
    "checkpoint.py": "solver.cpp",
    "nets.py": "solver.cpp",
    "loading.py": "net.cpp",
    "net.py": "net.cpp",
    "diagnose.py": "net.cpp",
    "train.py": "caffe.cpp",
    "test.py": "caffe.cpp",
    "time.py": "caffe.cpp",
}
"""Files of Caffe that write these lines. People's log parsers look for ``solver.cpp:242] Iteration``."""


def _file_in_caffe(record: logging.LogRecord) -> str:
    # In Caffe the learning rate is told by another file than the loss.
    if record.funcName == "apply_update":
        return "sgd_solver.cpp"
    return _CAFFE_FILES.get(record.filename, record.filename)


class GlogFormatter(logging.Formatter):
    """``I1231 23:59:59.123456 12345 solver.cpp:42] message``, the file named as in Caffe."""

    def format(self, record: logging.LogRecord) -> str:
        """Prefix every line of the message."""
        # Not above: a command in a checkout without its schema must come as far as telling so.
        from segcaffe.proto.encoding import to_native

        stamp = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        micros = int(record.created % 1 * 1e6)
        level = "I" if record.levelno < logging.WARNING else record.levelname[0]
        prefix = f"{level}{stamp}.{micros:06d} {record.process:>5} {_file_in_caffe(record)}:{record.lineno}] "
        return "\n".join(prefix + line for line in harmless(to_native(record.getMessage())).splitlines())


class _TerminalHandler(logging.Handler):
    """Writes above a progress bar rather than through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(self.format(record))


class _FileHandler(logging.FileHandler):
    """Where lines cannot be written, says so once; what the command does is worth more than its log."""

    told = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Called by logging while it handles what was raised."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.told:
            self.told = True
            tell(f"warning: {self.baseFilename}: lines of the log are lost: {why_unwritable(error)}.")

    def close(self) -> None:
        """Write what is left, if that can be."""
        with suppress(OSError):
            super().close()


def tell(message: str) -> None:
    """Print a line on the terminal (standard error) for people, above a progress bar if there is one."""
    if _verbosity is not Verbosity.SILENT:
        bar_type().write(message, file=sys.stderr)


class Verbosity(IntEnum):
    """How much a command prints on the terminal; the value is the level from which log lines are."""

    QUIET = 25
    """Results, warnings and errors."""
    NORMAL = logging.INFO
    """Progress bars, announcements, and the log lines of commands that Caffe logs in besides."""
    VERBOSE = logging.DEBUG
    """The log lines of every command, beside a progress bar as well."""
    SILENT = logging.ERROR
    """Errors: of several processes that work together all but the first print so much."""


RESULT = int(Verbosity.QUIET)
"""Level of log lines that are what the command was asked for."""
_verbosity = Verbosity.NORMAL


def shows_progress() -> bool:
    """Whether a progress bar is to be shown: there is a terminal or a notebook, and no --quiet."""
    return _verbosity < Verbosity.QUIET and (sys.stderr.isatty() or in_notebook())


def note(message: str, *, errors: bool = False) -> None:
    """Print what a command is doing, above a progress bar if there is one, unless the user asked for quiet."""
    if _verbosity < Verbosity.QUIET:
        bar_type().write(message, file=sys.stderr if errors else sys.stdout)


@contextmanager
def terminal_log(verbosity: Verbosity) -> Iterator[None]:
    """While it lasts print announcements, and log lines if ``verbosity`` says so."""
    global _verbosity
    before, _verbosity = _verbosity, verbosity
    try:
        with ExitStack() as stack:
            stack.enter_context(_handling(logging.getLogger(ANNOUNCEMENTS), _TerminalHandler(verbosity), logging.INFO))
            if verbosity is Verbosity.VERBOSE:
                stack.enter_context(_handling(log, _log_handler(verbosity), verbosity))
            yield
    finally:
        _verbosity = before


@contextmanager
def start_log(folder: str | None, name: str, *, quiet: bool = False) -> Iterator[Path | None]:
    """Send log lines to the terminal (warnings only if ``quiet``) and to ``<folder>/<name>.log`` while it lasts.

    What `terminal_log` was told prevails over ``quiet``. Raises SegcaffeError where the file cannot be written.
    """
    path = Path(folder) / f"{name}.log" if folder is not None else None
    with ExitStack() as stack:
        if _verbosity is not Verbosity.VERBOSE:
            level = max(_verbosity, logging.WARNING if quiet else logging.INFO)
            stack.enter_context(_handling(log, _log_handler(level), logging.INFO))
        if path is not None:
            stack.enter_context(_handling(log, _file_handler(path), logging.INFO))
        yield path


@contextmanager
def _handling(logger: logging.Logger, handler: logging.Handler, level: int) -> Iterator[None]:
    """While it lasts the logger has the handler and lets records of the level pass; ours stay among ours."""
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(min(level, logger.level or level))
    logger.propagate = logger is not log
    try:
        yield
    finally:
        logger.setLevel(before[0])
        logger.propagate = before[1]
        logger.removeHandler(handler)
        handler.close()


def _log_handler(level: int) -> logging.Handler:
    handler = _TerminalHandler(level)
    handler.addFilter(lambda record: record.name != ANNOUNCEMENTS)
    handler.setFormatter(GlogFormatter())
    return handler


def _file_handler(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _FileHandler(path, encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise SegcaffeError(
            f"{path}: the log cannot be written: {why_unwritable(error)}. Choose another folder with --out."
        ) from error
    handler.setFormatter(GlogFormatter())
    return handler
