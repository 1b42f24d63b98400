"""Work on many items in threads, results in the items' order, only a few items at a time in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from segcaffe.errors import DataError
from segcaffe.threads import parallel

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4
"""Items in work or waiting, for each thread."""


def ordered(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R | DataError]:
    """``function`` of each item, in order; where it raised a DataError, that error. Other errors are raised."""
    workers = parallel.num_threads()
    pending: deque[Future[R | DataError]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="segcaffe-files")
    try:
        for item in items:
            pending.append(pool.submit(_attempt, function, item))
            if len(pending) > _AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # Also when the one who asked has stopped asking, as after Ctrl-C.
        pool.shutdown(cancel_futures=True)


def _attempt(function: Callable[[T], R], item: T) -> R | DataError:
    try:
        return function(item)
    except DataError as error:
        return error
