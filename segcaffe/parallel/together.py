"""Working together: join the other processes, and where one fails end all, with a sentence."""

from __future__ import annotations

import atexit
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from segcaffe.errors import SegcaffeError
from segcaffe.parallel.group import Group, Options, use
from segcaffe.parallel.launch import join
from segcaffe.parallel.watch import Watch, leave, watched

_FAILED, _INTERRUPTED = 2, 130


@contextmanager
def together(
    wanted: bool = True,
    command: str = "segcaffe",
    options: Options = Options(),  # noqa: B008
    verbose: bool = False,
) -> Iterator[Group]:
    """While it lasts this process works with those that mpiexec started with it; alone where there are none.

    An error of one of several ends all of them within seconds, whatever they are waiting for; the process is left then,
    and not the context.

    Parameters
    ----------
    wanted:
        Whether MPI is asked for; otherwise it is used where a launcher started several processes.
    command:
        What sentences begin with.
    options:
        How the processes train together.
    verbose:
        Whether errors that a sentence explains come with where they arose.
    """
    ranks, left = join(wanted, options), None
    with use(ranks), watched(ranks, command) as watch:
        try:
            yield ranks
        except BaseException as error:
            if watch is None:
                raise
            left = _left(watch, error, verbose)
    if left is not None:
        raise left


def join_for_good(command: str) -> Group:
    """Join the processes that mpiexec started, until this one ends; an error that nobody catches ends all of them."""
    if _joined:
        return _joined[0]
    ranks = join(True)
    if ranks.joint:
        watch = Watch(ranks, command)
        before = sys.excepthook

        def fail(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            before(kind, error, trace)
            watch.fault(_sentence(watch, error))
            leave(_FAILED)

        sys.excepthook = fail
        atexit.register(watch.farewell)
    _joined.append(ranks)
    return ranks


_joined: list[Group] = []


def _left(watch: Watch, error: BaseException, verbose: bool) -> SystemExit:
    """Tell the error and leave the process; a SystemExit that is none is returned."""
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return error
    explained = isinstance(error, (SegcaffeError, MemoryError, KeyboardInterrupt, SystemExit))
    if verbose or not explained:
        traceback.print_exception(error)
    watch.fault(_sentence(watch, error))
    leave(_INTERRUPTED if isinstance(error, KeyboardInterrupt) else _FAILED)


def _sentence(watch: Watch, error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped."
    text = str(error) if isinstance(error, SegcaffeError) else f"{type(error).__name__}: {error}"
    # What all ranks tell of one names it.
    return text if text.startswith("Rank ") else f"rank {watch.rank} on {watch.host}: {text}"
