"""Runs damaged inputs through their readers, in a process of their own that may crash without harm."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from segcaffe.errors import SegcaffeError
from tests.fuzz.all_kinds import KINDS
from tests.fuzz.kinds import Kind, write

SECONDS = 2.0
MEGABYTES = 500
_HANGS_AFTER = 10.0
_BEGINS_WITHIN = 300.0
"""Seconds in which a process has made its examples and read them: kernels may have to be compiled."""


@dataclass(frozen=True)
class Failure:
    """A damaged input that did something else than load or raise an error of ours."""

    kind: str
    number: int
    what: str


@dataclass
class Outcome:
    """How many inputs loaded, how many were refused, what failed, and the slowest and largest."""

    loaded: int = 0
    refused: int = 0
    seconds: float = 0.0
    megabytes: float = 0.0
    failures: tuple[Failure, ...] = ()


class Result(NamedTuple):
    """What came of an input: "loaded", "refused" or what went wrong; in what time, with how much more memory."""

    number: int
    what: str
    seconds: float
    megabytes: float


Work = Callable[[int, int, Connection], None]
"""Reads the damaged inputs ``first`` to ``last`` (excluded); sends a `Result` for each, and perhaps None before."""


def run_kind(kind: str, first: int, last: int) -> Outcome:
    """Read the damaged inputs ``first`` to ``last`` (excluded) of a kind."""
    outcome = Outcome()
    for result in results(partial(_work, kind), first, last):
        add(outcome, kind, result)
    return outcome


def add(outcome: Outcome, kind: str, result: Result) -> None:
    """Count what came of an input."""
    what, fine = result.what, result.what in ("loaded", "refused")
    outcome.seconds = max(outcome.seconds, result.seconds)
    outcome.megabytes = max(outcome.megabytes, result.megabytes)
    outcome.loaded += what == "loaded"
    outcome.refused += what == "refused"
    if fine and result.seconds > SECONDS:
        what, fine = f"took {result.seconds:.1f} s", False
    elif fine and result.megabytes > MEGABYTES:
        what, fine = f"took {result.megabytes:.0f} MB", False
    if not fine:
        outcome.failures += (Failure(kind, result.number, what),)


def results(work: Work, first: int, last: int) -> Iterator[Result]:
    """Read inputs in a process that lives as long as it can; after one that ends it go on with the next."""
    context = multiprocessing.get_context("fork")
    while first < last:
        ours, theirs = context.Pipe(duplex=False)
        with tempfile.TemporaryDirectory(prefix="segcaffe-fuzz-", ignore_cleanup_errors=True) as folder:
            process = context.Process(target=_in_folder, args=(work, first, last, folder, theirs))
            with warnings.catch_warnings():
                # Newer Pythons warn of forking beside threads; the child uses none of theirs.
                warnings.simplefilter("ignore", DeprecationWarning)
                with _opencv_alone():
                    process.start()
            theirs.close()
            for result in _received(process, ours, first, last):
                yield result
                first = result.number + 1


@contextmanager
def _opencv_alone() -> Iterator[None]:
    """Without OpenCV's threads: a child would wait for those that its parent had, and that it has not."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _received(process: BaseProcess, ours: Connection, first: int, last: int) -> Iterator[Result]:
    """The results of a process, up to one that says how it ended."""
    patience = _BEGINS_WITHIN
    try:
        while first < last:
            if not ours.poll(patience):
                process.kill()
                yield Result(first, f"hangs for {patience:.0f} s", patience, 0.0)
                return
            result: Result | None = ours.recv()
            patience = _HANGS_AFTER
            if result is not None:
                yield result
                first += 1
    except EOFError:
        process.join()
        yield Result(first, f"the process died with status {process.exitcode}", 0.0, 0.0)
    finally:
        process.join()


def _in_folder(work: Work, first: int, last: int, folder: str, outcomes: Connection) -> None:
    """Work in a folder of its own, without a word: libraries report to the terminal what they find wrong."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    # What is written is thrown away; to bring it to the disk takes longer than all else.
    os.fsync = lambda descriptor: None
    os.chdir(folder)
    work(first, last, outcomes)


def _work(name: str, first: int, last: int, outcomes: Connection) -> None:
    kind, folder = KINDS[name], Path.cwd()
    # Once unharmed, so that what is imported and allocated only once is not counted.
    for files in kind.whole[: last - first]:
        with suppress(SegcaffeError):
            kind.read(_renew(folder, files))
    outcomes.send(None)
    limit_memory()
    for number in range(first, last):
        place = _renew(folder, kind.case(name, number))
        result = measured(number, partial(_read, kind, place))
        if result.seconds > SECONDS:
            # Perhaps the doing of other processes: the shorter time counts.
            place = _renew(folder, kind.case(name, number))
            result = min(result, measured(number, partial(_read, kind, place)), key=lambda result: result.seconds)
        outcomes.send(result)


def _read(kind: Kind, place: Path) -> None:
    kind.read(place)


def _renew(folder: Path, files: dict[str, bytes]) -> Path:
    """A new place for an input, and the working directory; what earlier ones left is removed."""
    os.chdir(folder)
    for left in folder.iterdir():
        # A thread that still ends may put a file back meanwhile: the next place has another name.
        shutil.rmtree(left, ignore_errors=True)
    place = Path(tempfile.mkdtemp(dir=folder))
    os.chdir(place)
    write(place, files)
    return place


def measured(number: int, read: Callable[[], object]) -> Result:
    """What comes of an input, and what it takes; a text that ``read`` returns says what went wrong."""
    _forget_peak()
    before, start = _memory("VmRSS"), time.perf_counter()
    try:
        found = read()
        what = found if isinstance(found, str) else "loaded"
    except SegcaffeError as error:
        what = "refused" if str(error) else "an error without a message"
    except BaseException as error:  # whatever it is: it is what this looks for
        what = f"{type(error).__name__}: {error}"[:200] + _where(error)
    return Result(number, what, time.perf_counter() - start, _memory("VmHWM") - before)


def _where(error: BaseException) -> str:
    """The innermost place of ours that an exception came through."""
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "segcaffe" in Path(code.co_filename).parts:
            place = f" ({Path(code.co_filename).name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place


def limit_memory() -> None:
    """Let not much more be allocated than an input may cost: a larger request fails as it would without memory.

    What the process that forked this one has freed, in the middle of its heap, can be given out again all the same.
    """
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + (MEGABYTES + 100 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _forget_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> float:
    """Megabytes that the system tells of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
