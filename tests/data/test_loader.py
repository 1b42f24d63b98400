from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from segcaffe import device
from segcaffe.data.loader import Arrays, BatchLoader, ListFeed, Parts, Random, Rows
from segcaffe.errors import DataError


def number_and_draw(item: int, random: Random) -> Arrays:
    time.sleep(0.0005 * (item % 3))
    return np.array(item), random.random(2)


def make(
    count: int = 7,
    batch_size: int = 3,
    shuffle: bool = True,
    workers: int = 2,
    load: Callable[[int, Random], Parts] = number_and_draw,
) -> BatchLoader[int]:
    return BatchLoader(ListFeed(range(count), shuffle), load, batch_size, "layer", workers=workers)


def take(loader: BatchLoader[int], batches: int) -> list[Arrays]:
    return [loader.next() for _ in range(batches)]


def assert_equal(found: list[Arrays], expected: list[Arrays]) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_order_and_draws_do_not_depend_on_the_number_of_workers() -> None:
    runs = []
    for workers in (1, 2, 5):
        device.set_random_seed(3)
        runs.append(take(make(workers=workers), 9))
    assert_equal(runs[1], runs[0])
    assert_equal(runs[2], runs[0])


def test_another_seed_gives_another_order() -> None:
    device.set_random_seed(3)
    first = take(make(count=50), 3)
    device.set_random_seed(4)
    assert any((a[0] != b[0]).any() for a, b in zip(first, take(make(count=50), 3), strict=True))


def test_every_epoch_has_each_item_once_in_another_order() -> None:
    loader = make(count=12, batch_size=4)
    epochs = [np.concatenate([loader.next()[0] for _ in range(3)]) for _ in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(12))
    assert (epochs[0] != epochs[1]).any()
    assert (epochs[1] != epochs[2]).any()


def test_without_shuffle_items_come_in_order_and_batches_run_over_the_end() -> None:
    found = np.concatenate([batch[0] for batch in take(make(count=4, shuffle=False), 4)])
    np.testing.assert_array_equal(found, np.arange(12) % 4)


@pytest.mark.parametrize("stop", [0, 1, 4, 7])
def test_a_restored_loader_continues_as_if_never_stopped(stop: int) -> None:
    device.set_random_seed(5)
    whole = take(make(), 10)
    device.set_random_seed(5)
    first = make()
    assert_equal(take(first, stop), whole[:stop])
    state = json.loads(json.dumps(first.state()))
    device.set_random_seed(99)
    second = make()
    second.next()
    second.restore(state)
    assert_equal(take(second, 10 - stop), whole[stop:])


def test_shapes_are_those_of_the_batches() -> None:
    loader = make()
    assert loader.shapes() == [(3,), (3, 2)] == [array.shape for array in loader.next()]


class Several(Rows):
    """As many numbers as the item says; a batch has them all in one row."""

    def __init__(self, item: int) -> None:
        self.values = np.full(item, item)

    @staticmethod
    def join(parts: Sequence[Rows]) -> np.ndarray:
        return np.concatenate([part.values for part in parts if isinstance(part, Several)])


def test_rows_are_joined() -> None:
    loader = make(4, shuffle=False, load=lambda item, random: (np.array(item), Several(item)))
    assert loader.shapes() == [(3,), (0,)]
    assert [array.tolist() for array in loader.next()] == [[0, 1, 2], [1, 2, 2]]
    assert [array.tolist() for array in loader.next()] == [[3, 0, 1], [3, 3, 3, 1]]


def test_rand_skip_starts_within_the_first_items() -> None:
    starts = set()
    for seed in range(40):
        device.set_random_seed(seed)
        loader = make(count=9, shuffle=False)
        loader.skip_randomly(4, 9)
        starts.add(int(loader.next()[0][0]))
    assert starts == {0, 1, 2, 3}


def test_rand_skip_beyond_the_items_is_an_error() -> None:
    loader = make(count=1)
    loader.seed = next(seed for seed in range(20) if np.random.default_rng([seed, 1]).integers(50) > 0)
    with pytest.raises(DataError, match="rand_skip 50 skips all of the 1 item"):
        loader.skip_randomly(50, 1)


def test_batch_size_must_be_positive() -> None:
    with pytest.raises(DataError, match=r"batch_size must be at least 1. Received: 0"):
        make(batch_size=0)


def fail_on_four(item: int, random: Random) -> Arrays:
    if item == 4:
        raise DataError('cannot read "four.png"')
    return (np.array(item),)


def test_a_worker_s_error_reaches_the_caller_and_the_next_batch_follows() -> None:
    loader = make(count=9, shuffle=False, load=fail_on_four)
    assert loader.next()[0].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match=r"four\.png"):
        loader.next()
    assert loader.next()[0].tolist() == [6, 7, 8]


def test_items_of_different_size_are_named() -> None:
    loader = make(count=3, shuffle=False, load=lambda item, random: (np.zeros((1, 2 + item // 2)),))
    with pytest.raises(DataError, match=r"0 has 1 x 2, 2 has 1 x 3. Set crop_size"):
        loader.next()


@pytest.fixture
def _no_other_loaders() -> None:
    """Loaders of earlier tests are gone."""
    gc.collect()


def data_threads() -> int:
    return sum(thread.name.startswith("segcaffe-data") for thread in threading.enumerate())


@pytest.mark.usefixtures("_no_other_loaders")
def test_threads_start_with_the_first_batch_and_end_on_closing() -> None:
    before = data_threads()
    loader = make(workers=3)
    assert data_threads() == before
    loader.next()
    assert data_threads() == before + 3
    loader.close()
    assert data_threads() == before


@pytest.mark.usefixtures("_no_other_loaders")
def test_a_loader_nobody_uses_ends_its_threads() -> None:
    before = data_threads()
    loader = make(workers=2)
    loader.next()
    gone = weakref.ref(loader)
    del loader
    gc.collect()
    assert gone() is None
    assert data_threads() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_loader_of_its_own() -> None:
    loader = make(count=100, shuffle=False)
    loader.next()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, json.dumps(loader.next()[0].tolist()).encode())
        os._exit(0)
    assert json.loads(os.read(reader, 100)) == [3, 4, 5]
    assert os.waitpid(child, 0)[1] == 0
    assert loader.next()[0].tolist() == [3, 4, 5]
    os.close(reader)
    os.close(writer)


SLOW = """
import signal, time
import numpy as np
from segcaffe.data.loader import BatchLoader, ListFeed

# A shell that runs tests in the background lets its children ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

def load(item, random):
    print("loading", flush=True)
    time.sleep(2)
    return (np.zeros(1),)

BatchLoader(ListFeed(range(9), False), load, 1, "layer", workers=1).next()
"""


@pytest.mark.slow
def test_an_interrupt_ends_the_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors
