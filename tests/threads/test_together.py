"""Recorded work that threads divide: every piece once and in turn, errors, late helpers, several callers, rests."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from segcaffe.jit.compiled import njit
from segcaffe.kernels.vector.scratch import scratch
from segcaffe.threads import calls, parallel, seats, team
from segcaffe.threads.recording import Call, Divided, Tape, recording
from segcaffe.threads.together import Together, is_playable, joined


@pytest.fixture(params=[True, False], ids=["natively", "in Python"])
def _helpers_sleep(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of a new pool, which sleep in generated code, as far as the system can, or in Python."""
    monkeypatch.setattr(team, "SLEEPS", team.SLEEPS and request.param)
    monkeypatch.setattr(parallel, "_pool", None)


@pytest.fixture(autouse=True)
def _three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = parallel.num_threads()
    monkeypatch.setattr(parallel, "_usable_cores", lambda: 3)
    parallel.set_num_threads(3)
    yield
    parallel.set_num_threads(before)


@njit("void(int64[::1], int64[::1], int64, int64, int64)", nogil=True)
def _add(values, before, rounds, start, stop):
    """One more than the largest so far: shows whether all that comes before was done."""
    for _ in range(rounds):
        for i in range(start, stop):
            values[i] = before.max() + 1


@njit("void(int64[::1], int64, int64, int64)", nogil=True)
def _refuse(values, at, start, stop):
    for i in range(start, stop):
        if i == at:
            raise ValueError("the value that is refused")
        values[i] += 1


@njit("void(int64[::1], int64, int64, int64)", nogil=True)
def _sign(names, name, start, stop):
    for i in range(start, stop):
        names[i] = name


def _recorded(*works: tuple[int, Any]) -> list[Call | Divided]:
    """So many items of each work, on a tape."""
    tape = Tape()
    with recording(tape):
        for count, work in works:
            calls.run(count, work)
    assert tape.complete
    return tape.calls


def _after(values: Any, before: Any, rounds: int = 1) -> Any:
    return lambda start, stop: ((_add, (values, before, rounds, start, stop)),)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_each_work_is_done_when_the_next_begins(threads: int) -> None:
    parallel.set_num_threads(threads)
    chain = [np.zeros(40, np.int64) for _ in range(6)]
    told = _recorded(*((40, _after(now, before)) for before, now in itertools.pairwise(chain)))
    assert all(map(is_playable, told))
    play = joined(told)
    for _ in range(300):
        for values in chain[1:]:
            values[:] = 0
        play()
        assert [set(values.tolist()) for values in chain] == [{i} for i in range(6)]


def test_pieces_are_made_once() -> None:
    values = np.zeros(1000, np.int64)
    play = joined(_recorded((1000, lambda start, stop: ((_refuse, (values, -1, start, stop)),))))
    for _ in range(200):
        play()
    assert (values == 201).all()


def test_work_that_nobody_divides_comes_in_between() -> None:
    first, second, third = (np.zeros(8, np.int64) for _ in range(3))
    told = _recorded((8, _after(first, third)), (1, _after(second, first)), (8, _after(third, second)))
    assert [type(each) for each in told] == [Divided, Call, Divided]
    play = joined(told)
    for times in range(2, 30):
        play()
        assert (third.max(), first.max()) == (3 * times, 3 * times - 2)


def test_an_error_is_raised_and_the_next_pass_works() -> None:
    values = np.zeros(50, np.int64)
    told = _recorded((50, lambda start, stop: ((_refuse, (values, -1, start, stop)),)))
    failing = [
        Divided(
            parallel.run,
            (),
            tuple(tuple((Call(_refuse, (values, 31, i, i + 1)),) for i in range(50)) for _ in range(3)),
        )
    ]
    bad, good = Together(failing), Together(told)
    for _ in range(8):
        with pytest.raises(ValueError, match="that is refused"):
            bad()
        good()


def test_helpers_work_with_memory_of_their_own() -> None:
    names = np.zeros(12, np.int64)

    def sign(start: int, stop: int) -> Any:
        return ((_sign, (names, scratch("test_together", 9, np.float32).ctypes.data, start, stop)),)

    (told,) = _recorded((12, sign))
    assert isinstance(told, Divided)
    addresses = [{call.arguments[1] for piece in seat for call in piece} for seat in told.seats]
    assert all(len(each) == 1 for each in addresses)
    assert len(set.union(*addresses)) == 3
    with seats.taken(2):
        assert addresses[2] == {scratch("test_together", 9, np.float32).ctypes.data}
    busy = np.zeros(4, np.int64)
    long = joined(_recorded((12, sign), (4, _after(busy, np.zeros(20_000, np.int64), 20))))
    found: set[int] = set()
    deadline = time.monotonic() + 20
    while len(found) < 2 and time.monotonic() < deadline:
        long()
        found |= set(names.tolist())
    assert len(found) >= 2
    assert found <= set.union(*addresses)


def test_the_caller_waits_for_a_helper_that_is_slow() -> None:
    values, other = np.zeros(3, np.int64), np.zeros(3, np.int64)
    slow = np.zeros(200_000, np.int64)
    play = joined(_recorded((3, _after(values, slow, 40)), (3, _after(other, values))))
    for _ in range(8):
        values[:] = other[:] = 0
        play()
        assert set(other.tolist()) == {2}


def test_several_callers_at_a_time() -> None:
    wrong = []

    def call() -> None:
        first, second = np.zeros(20, np.int64), np.zeros(20, np.int64)
        play = joined(_recorded((20, _after(first, np.zeros(100, np.int64))), (20, _after(second, first))))
        for _ in range(200):
            first[:] = second[:] = 0
            play()
            wrong.extend(set(second.tolist()) - {2})

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.usefixtures("_helpers_sleep")
def test_after_a_rest_helpers_are_woken_and_sleep_again() -> None:
    values = np.zeros(12, np.int64)
    play = Together(_recorded((12, _after(values, np.zeros(50_000, np.int64), 3))))
    for _ in range(6):
        play()
        time.sleep(0.002)
    seen = set()
    for _ in range(20):
        time.sleep(0.002)
        parallel.run(6, lambda _start, _stop: seen.add(threading.get_ident()) or time.sleep(0.001))
    assert len(seen) == 3
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.05


def test_what_is_not_compiled_is_not_divided() -> None:
    values = np.zeros(8)
    (told,) = _recorded((8, lambda start, stop: ((np.copyto, (values[start:stop], 5.0)),)))
    assert not is_playable(told)
    values[:] = 0
    told.function(*told.arguments)
    assert (values == 5).all()


def test_threads_beyond_the_cores_do_not_wait_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_usable_cores", lambda: 2)
    values = np.zeros(8, np.int64)
    (told,) = _recorded((8, _after(values, np.zeros(3, np.int64))))
    assert isinstance(told, Divided)
    assert not told.seats


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not say where threads run")
@pytest.mark.skipif(parallel.usable_cores()[1:] == (), reason="there is one core")
def test_helpers_are_woken_on_other_cores() -> None:
    pool = parallel.shared_pool(2)
    mine = min(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {mine})
    os.sched_setaffinity(0, before)
    pool.prepare_to_wake()
    allowed = [os.sched_getaffinity(number) for number in pool._numbers]
    assert all(len(each) == len(before) - 1 for each in allowed)
