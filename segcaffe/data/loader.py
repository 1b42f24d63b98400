"""Prefetching: batches prepared ahead by worker threads, in an order that does not depend on them.

Item number k of a run, k = 0, 1, 2, … over all epochs, is decided by the seed and k alone, as are the random numbers
its transformation draws. So results depend neither on the number of workers nor on timing, and a run can be continued
at any batch by setting seed and k.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from segcaffe import device
from segcaffe.data.opencv import add_readers
from segcaffe.device.host_memory import require
from segcaffe.errors import DataError
from segcaffe.text.words import counted
from segcaffe.threads import parallel

Array = NDArray[Any]
Arrays = tuple[Array, ...]
Random = np.random.Generator
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_ORDER, _DRAWS = 0, 1
_MAX_SEED = 1 << 53
"""JSON readers keep integers up to here exactly."""
_MOST_AHEAD = 1000
"""Batches that may be prepared ahead."""
_BESIDES = 1024
"""About the bytes that an item of a batch takes beside its arrays."""
_PATIENCE = 10.0
"""Seconds to wait at the end for a thread that reads a file."""


class Rows(ABC):
    """An array of an item that is of another length for each item, so that a batch joins them in a way of its own."""

    @staticmethod
    @abstractmethod
    def join(parts: Sequence[Rows]) -> Array:
        """The array of the items of a batch, in their order."""


Parts = tuple["Array | Rows", ...]
"""What is loaded of one item."""


class Feed(Protocol[T_co]):
    """The items of a run by their number; asked for in rising order except after `BatchLoader.restore`."""

    def item(self, number: int, seed: int) -> T_co:
        """Item ``number`` of the run with this seed."""


class ListFeed(Generic[T]):
    """The entries of a list, epoch after epoch, each epoch in an order of its own if ``shuffle``."""

    def __init__(self, entries: Sequence[T], shuffle: bool) -> None:
        self.entries, self.shuffle = entries, shuffle
        self._order: tuple[int, int, list[int]] = (-1, -1, [])

    def item(self, number: int, seed: int) -> T:
        """Entry ``number % len`` of the epoch's order."""
        epoch, position = divmod(number, len(self.entries))
        if not self.shuffle:
            return self.entries[position]
        if self._order[:2] != (seed, epoch):
            order = np.random.default_rng([seed, _ORDER, epoch]).permutation(len(self.entries))
            self._order = (seed, epoch, order.tolist())
        return self.entries[self._order[2][position]]


class Share(NamedTuple):
    """Which items are this process's, of those that ``size`` processes share out.

    All of them advance by ``size`` batches at a time; of these items rank r has every size-th from the r-th on, so that
    of the items of a run it has those whose number % size is r, or, with ``by_batch``, the r-th batch.
    """

    rank: int = 0
    size: int = 1
    by_batch: bool = False

    def number(self, start: int, index: int, batch_size: int) -> int:
        """Number of the item that is the ``index``-th of the batch of this process, where all begin at ``start``."""
        if self.by_batch:
            return start + self.rank * batch_size + index
        return start + index * self.size + self.rank

    def part(self, start: int, count: int, batch_size: int) -> tuple[slice, int]:
        """Of ``count`` items, ``start`` behind where all begin, this process's, and where in its batch they go."""
        if self.by_batch:
            first = max(self.rank * batch_size - start, 0)
            end = min(count, (self.rank + 1) * batch_size - start)
            return slice(first, max(first, end)), max(start + first - self.rank * batch_size, 0)
        first = (self.rank - start) % self.size
        return slice(first, count, self.size), (start + first) // self.size


class BatchLoader(Generic[T]):
    """Loads batch after batch in worker threads.

    Parameters
    ----------
    feed:
        Gives the items in order.
    load:
        Makes the arrays of an item, drawing only from the generator it is given. Called in worker threads.
    batch_size:
        Items in a batch.
    where:
        How messages name the layer.
    depth:
        Batches prepared ahead.
    workers:
        Threads; by default as many as the CPU kernels use, at most 4. They start with the first batch, and end when
        the loader is closed or no longer used.

    The seed comes from the process's random stream when the loader is made.

    Attributes
    ----------
    number:
        Number of the item that the next batches of all processes begin with.
    share:
        Which items of them are this process's.
    """

    def __init__(
        self,
        feed: Feed[T],
        load: Callable[[T, Random], Parts],
        batch_size: int,
        where: str,
        depth: int = 3,
        workers: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise DataError(f"{where}: batch_size must be at least 1. Received: {batch_size}.")
        if depth > _MOST_AHEAD:
            raise DataError(f"{where}: prefetch must be {_MOST_AHEAD} batches at most. Received: {depth}.")
        self.feed, self.load, self.batch_size, self.where = feed, load, batch_size, where
        self.depth = max(1, depth)
        self.workers = workers or min(4, parallel.num_threads())
        self.seed = int(device.generator().integers(_MAX_SEED))
        self.number = 0
        self.share = Share()
        self._pending: deque[_Batch[T]] = deque()
        self._pool: _Pool | None = None
        self._item_bytes = 0

    def skip_randomly(self, most: int, entries: int) -> None:
        """Start at a random item, fewer than ``most`` after the first (Caffe's ``rand_skip``)."""
        self.number = int(np.random.default_rng([self.seed, _DRAWS]).integers(most)) if most else 0
        if self.number >= entries:
            raise DataError(
                f"{self.where}: rand_skip {most} skips all of the {counted(entries, 'item')}; make it smaller."
            )

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of a batch's arrays, from the next item alone, which is loaded here and now."""
        number = self.share.number(self.number, 0, self.batch_size)
        item = self.feed.item(number, self.seed)
        try:
            parts = self.load(item, _random(self.seed, number))
        except DataError as error:
            _name(error, item, self.where)
            raise
        arrays = [part for part in parts if not isinstance(part, Rows)]
        self._item_bytes = sum(array.nbytes for array in arrays)
        stacked = [(self.batch_size, *array.shape) for array in arrays]
        return stacked + [part.join([part]).shape for part in parts if isinstance(part, Rows)]

    def next(self) -> Arrays:
        """The next batch: each array of the items stacked along a new axis 0; behind them those that join their rows.

        Raises
        ------
        DataError
            What `load` raised for the first item it failed on, or items of the batch differ in size.
        """
        self._prepare()
        batch = self._pending.popleft()
        self.number += self.batch_size * self.share.size
        return batch.wait()

    def ready(self) -> Arrays | None:
        """The batch that `next` will give, if it is done already and in order; nothing moves on."""
        if not self._pending or not self._pending[0].finished.is_set() or self._pending[0].errors:
            return None
        return self._pending[0].arrays

    def state(self) -> dict[str, int]:
        """Seed and number of the next item, as after the batches that `next` gave out."""
        return {"seed": self.seed, "item": self.number}

    def restore(self, state: dict[str, int]) -> None:
        """Go on from what `state` gave; batches prepared ahead are dropped."""
        self._drop()
        self.seed, self.number = int(state["seed"]), int(state["item"])

    def close(self) -> None:
        """End the worker threads; `next` would start new ones."""
        self._drop()
        if self._pool is not None:
            self._pool.stop()
            self._pool = None

    def _prepare(self) -> None:
        if self._pool is None or self._pool.process != os.getpid():
            # First use, or first use in a forked child, which has no threads: what is pending will never be done.
            self._pending.clear()
            self._pool = _Pool(self.workers, self)
        while len(self._pending) < self.depth:
            ahead = len(self._pending) * self.batch_size * self.share.size
            self._submit(self.number + ahead, self._pool)

    def _submit(self, start: int, pool: _Pool) -> None:
        require(self.batch_size * (self._item_bytes + _BESIDES))
        numbers = [self.share.number(start, index, self.batch_size) for index in range(self.batch_size)]
        batch = _Batch(numbers, self.load, self.seed, self.where)
        try:
            for index, number in enumerate(numbers):
                # The workers begin with the first item while the next are read.
                batch.items.append(self.feed.item(number, self.seed))
                pool.tasks.put((batch, index))
        except BaseException:
            batch.dropped = True
            raise
        self._pending.append(batch)

    def _drop(self) -> None:
        for batch in self._pending:
            batch.dropped = True
        self._pending.clear()


class _Batch(Generic[T]):
    """A batch in the making: each item is copied to its place by the thread that loaded it."""

    def __init__(self, numbers: list[int], load: Callable[[T, Random], Parts], seed: int, where: str) -> None:
        size = len(numbers)
        self.size, self.load, self.where = size, load, where
        self.items: list[T] = []
        self.seed, self.numbers = seed, numbers
        self.shapes: list[list[tuple[int, ...]]] = [[] for _ in range(size)]
        self.rows: list[list[Rows]] = [[] for _ in range(size)]
        self.errors: dict[int, BaseException] = {}
        self.left = size
        self.lock = threading.Lock()
        self.finished = threading.Event()
        self.arrays: Arrays = ()
        self.dropped = False

    def make(self, index: int) -> None:
        """Load one item. Whatever goes wrong is kept for the thread that asks for the batch."""
        try:
            if not self.dropped:
                self._place(index, self.load(self.items[index], _random(self.seed, self.numbers[index])))
        except DataError as error:
            _name(error, self.items[index], self.where)
            self.errors[index] = error
        except BaseException as error:
            self.errors[index] = error
        with self.lock:
            self.left -= 1
            if self.left == 0:
                self._join()
                self.finished.set()

    def wait(self) -> Arrays:
        """The stacked arrays, or raise the first item's error."""
        # A wait without limit could not be interrupted everywhere.
        while not self.finished.wait(1.0):
            pass
        if self.errors:
            raise self.errors[min(self.errors)]
        for item, shapes in zip(self.items, self.shapes, strict=True):
            if shapes != self.shapes[0]:
                sizes = next((a, b) for a, b in zip(self.shapes[0], shapes, strict=True) if a != b)
                raise DataError(
                    f"{self.where}: the items of a batch must have one size (channels x height x width): "
                    f"{_text(self.items[0])} has {_size(sizes[0])}, {_text(item)} has {_size(sizes[1])}. Set "
                    "crop_size, or batch_size: 1."
                )
        return self.arrays

    def _place(self, index: int, parts: Parts) -> None:
        self.rows[index] = [part for part in parts if isinstance(part, Rows)]
        stacked = [part for part in parts if not isinstance(part, Rows)]
        self.shapes[index] = [part.shape for part in stacked]
        with self.lock:
            if not self.arrays:
                self.arrays = tuple(np.empty((self.size, *part.shape), part.dtype) for part in stacked)
        for array, part in zip(self.arrays, stacked, strict=True):
            if array.shape[1:] == part.shape:
                array[index] = part

    def _join(self) -> None:
        """Put the joined rows of all items behind the stacked arrays."""
        if not self.errors and not self.dropped:
            self.arrays += tuple(own[0].join(own) for own in zip(*self.rows, strict=True))


def _random(seed: int, number: int) -> Random:
    """The generator of one item's draws."""
    return np.random.default_rng([seed, _DRAWS, number])


def _text(item: object) -> str:
    return str(getattr(item, "place", item))


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _name(error: DataError, item: object, where: str) -> None:
    """Put the item's place behind the layer's name, unless it is in the text already."""
    place, text = str(getattr(item, "place", "")), str(error)
    if place and place not in text:
        error.args = (f"{where}: {place}: {text.removeprefix(f'{where}: ')}",)


Tasks = SimpleQueue["tuple[_Batch[Any], int] | None"]


class _Pool:
    """Worker threads that know only their queue, so that they keep nothing else alive."""

    def __init__(self, size: int, owner: object) -> None:
        self.process = os.getpid()
        add_readers(size)
        self.tasks: Tasks = SimpleQueue()
        threads = [
            threading.Thread(target=_work, args=(self.tasks,), daemon=True, name=f"segcaffe-data-{i}")
            for i in range(size)
        ]
        for thread in threads:
            thread.start()
        # Also called when the interpreter exits: a thread that is inside OpenCV then would bring the process down.
        self.stop = weakref.finalize(owner, _end, self.tasks, threads, self.process)


def _work(tasks: Tasks) -> None:
    while (task := tasks.get()) is not None:
        batch, index = task
        batch.make(index)
        # Waiting for the next task must not keep this one's arrays, nor its layer, alive.
        del task, batch


def _end(tasks: Tasks, threads: list[threading.Thread], process: int) -> None:
    """Forget what is not begun, and wait until the threads have ended; a forked child has none to wait for."""
    if process != os.getpid():
        return
    add_readers(-len(threads))
    with contextlib.suppress(Empty):
        while True:
            tasks.get_nowait()
    for _ in threads:
        tasks.put(None)
    for thread in threads:
        # The last reference to a loader may be dropped by one of its own threads.
        if thread is not threading.current_thread():
            thread.join(_PATIENCE)
