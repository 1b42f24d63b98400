"""The kernels' thread pool: every range once, errors, nesting, several callers, and no waiting awake for long."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.threads import parallel, waiting


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    before = parallel.num_threads()
    yield
    parallel.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("count", "grain", "blocks"), [(1000, 1, 0), (7, 3, 0), (1000, 1, 13), (3, 1, 50), (0, 1, 0)])
def test_every_item_once(threads: int, count: int, grain: int, blocks: int) -> None:
    parallel.set_num_threads(threads)
    for _ in range(50):
        seen = np.zeros(count, int)

        def body(start: int, stop: int, seen: np.ndarray = seen) -> None:
            seen[start:stop] += 1

        parallel.run(count, body, grain=grain, blocks=blocks)
        assert (seen == 1).all()


def test_both_threads_work() -> None:
    parallel.set_num_threads(2)
    seen = set()

    def body(start: int, stop: int) -> None:
        time.sleep(0.01)
        seen.add(threading.get_ident())

    parallel.run(8, body)
    assert len(seen) == 2


def test_a_job_after_a_long_rest() -> None:
    parallel.set_num_threads(2)
    for _ in range(3):
        parallel.run(8, lambda start, stop: time.sleep(0.002))
        time.sleep(5e-6 * parallel.WATCH)


def test_an_error_reaches_the_caller_and_the_pool_goes_on() -> None:
    parallel.set_num_threads(2)

    def body(start: int, stop: int) -> None:
        if start <= 5 < stop:
            raise ValueError("five")

    for _ in range(20):
        with pytest.raises(ValueError, match="five"):
            parallel.run(8, body)
    test_every_item_once(2, 1000, 1, 0)


def test_a_run_inside_a_run_is_serial() -> None:
    parallel.set_num_threads(2)
    names: list[set[int]] = []

    def body(start: int, stop: int) -> None:
        inner: set[int] = set()
        parallel.run(100, lambda start, stop: inner.add(threading.get_ident()))
        names.append(inner)

    parallel.run(4, body)
    assert names
    assert all(len(inner) == 1 for inner in names)


def test_several_callers_at_a_time() -> None:
    parallel.set_num_threads(2)
    totals = [0] * 4

    def call(which: int) -> None:
        for _ in range(100):
            parts = np.zeros(10, int)

            def body(start: int, stop: int, parts: np.ndarray = parts) -> None:
                parts[start:stop] = 1

            parallel.run(10, body)
            totals[which] += int(parts.sum())

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals == [1000] * 4


def test_idle_threads_sleep() -> None:
    parallel.set_num_threads(2)
    parallel.run(8, lambda start, stop: time.sleep(0.001))
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.05


def test_watch_sees_a_change_and_gives_up() -> None:
    cell = np.zeros(1, np.int64)
    assert waiting.watch(cell, 0, 10, 0) == 0
    assert waiting.watch(cell, 1, 10, 0) == 0
    changer = threading.Timer(0.05, lambda: cell.__setitem__(0, 3))
    changer.start()
    assert waiting.watch(cell, 0, 10**12, 5) == 3
    changer.join()


def test_pauses_have_a_length() -> None:
    assert 0.1 < waiting.pauses_per_microsecond() < 10_000


@pytest.mark.parametrize("text", ["x", "0", "-1", "1.5", "1025", "9" * 18, "7" * 5000, "\N{SUPERSCRIPT TWO}"])
def test_a_wrong_number_in_the_environment_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGCAFFE_NUM_THREADS", text)
    monkeypatch.setattr(parallel, "_threads", 0)
    with pytest.raises(SegcaffeError, match=f'SEGCAFFE_NUM_THREADS must be.*Received: "{text[:40]}') as found:
        parallel.num_threads()
    assert len(str(found.value)) < 250


def test_the_environment_sets_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGCAFFE_NUM_THREADS", "3")
    monkeypatch.setattr(parallel, "_threads", 0)
    assert parallel.num_threads() == 3


def test_what_a_job_works_on_is_not_kept() -> None:
    parallel.set_num_threads(2)
    values = np.zeros(100)
    arrays = weakref.ref(values)

    def body(start: int, stop: int, values: np.ndarray = values) -> None:
        values[start:stop] += 1

    parallel.run(100, body)
    del values, body
    assert arrays() is None
