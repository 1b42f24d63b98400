"""Runs damaged files through the readers, in a process of their own that may crash without harm."""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from segcaffe.errors import SegcaffeError
from tests.fuzz.files import READERS, seeds
from tests.fuzz.mutate import mutate

SECONDS = 2.0
MEGABYTES = 500
_HANGS_AFTER = 10.0


@dataclass(frozen=True)
class Failure:
    """A damaged file that did something else than load or raise an error of ours."""

    kind: str
    number: int
    what: str


@dataclass
class Outcome:
    """How many files loaded, how many were refused, what failed, and the slowest and largest."""

    loaded: int = 0
    refused: int = 0
    seconds: float = 0.0
    megabytes: float = 0.0
    failures: tuple[Failure, ...] = ()


def run(count: int, kinds: list[str] | None = None, first: int = 0) -> Outcome:
    """Read ``count`` damaged files, as many of each kind."""
    kinds = kinds or list(READERS)
    outcome = Outcome()
    for kind in kinds:
        for result in results(partial(_work, kind), first, first + -(-count // len(kinds))):
            add(outcome, kind, result)
    return outcome


Result = tuple[int, str, float, float]
"""Number of the file; "loaded", "refused" or what went wrong; seconds; megabytes."""


def add(outcome: Outcome, kind: str, result: Result) -> None:
    number, what, seconds, megabytes = result
    outcome.seconds, outcome.megabytes = max(outcome.seconds, seconds), max(outcome.megabytes, megabytes)
    outcome.loaded += what == "loaded"
    outcome.refused += what == "refused"
    if what in ("loaded", "refused") and seconds > SECONDS:
        what = f"took {seconds:.1f} s"
    elif what in ("loaded", "refused") and megabytes > MEGABYTES:
        what = f"took {megabytes:.0f} MB"
    if what not in ("loaded", "refused"):
        outcome.failures += (Failure(kind, number, what),)


def results(work: Callable[[int, int, Connection], None], first: int, last: int) -> Iterator[Result]:
    """Have the files ``first`` to ``last`` read by a process; after one that kills it go on with the next.

    ``work`` gets the two numbers, and sends a `Result` for each file.
    """
    context = multiprocessing.get_context("fork")
    while first < last:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(first, last, theirs))
        with warnings.catch_warnings():
            # Newer Pythons warn of forking beside threads; the child uses none of theirs.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        theirs.close()
        try:
            while first < last:
                if not ours.poll(_HANGS_AFTER):
                    process.kill()
                    yield first, f"hangs for {_HANGS_AFTER:.0f} s", _HANGS_AFTER, 0.0
                    break
                result: Result = ours.recv()
                yield result
                first += 1
        except EOFError:
            process.join()
            yield first, f"the process died with status {process.exitcode}", 0.0, 0.0
        finally:
            process.join()
        first += first < last


def _work(kind: str, first: int, last: int, results: Connection) -> None:
    warnings.simplefilter("ignore")
    _silence()
    whole = seeds()[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file.{kind}"
        path.write_bytes(whole[0])
        # Once unharmed, so that what is imported and allocated only once is not counted.
        READERS[kind](path)
        limit_memory()
        for number in range(first, last):
            path.write_bytes(mutate(kind, whole, number))
            results.send(_read(kind, path, number))


def _read(kind: str, path: Path, number: int) -> Result:
    return measured(number, lambda: READERS[kind](path))


def measured(number: int, read: Callable[[], object]) -> Result:
    """What comes of a file, and what it takes; a text that ``read`` returns says what went wrong."""
    before, start = _peak(), time.perf_counter()
    try:
        found = read()
        what = found if isinstance(found, str) else "loaded"
    except SegcaffeError as error:
        what = "refused" if str(error) else "an error without a message"
    except BaseException as error:  # whatever it is: it is what this looks for
        what = f"{type(error).__name__}: {error}"[:300]
    return number, what, time.perf_counter() - start, _peak() - before


def _silence() -> None:
    """Libraries report to the terminal what they find wrong."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)


def limit_memory() -> None:
    """Let no more be allocated than a file may cost: a larger request fails as it would without memory."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + (MEGABYTES << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
