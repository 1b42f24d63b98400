"""Work told as calls: done at once, and repeated from a tape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from segcaffe.kernels import elementwise, matmul
from segcaffe.kernels.vector.scratch import prepared
from segcaffe.threads import calls, parallel
from segcaffe.threads.recording import Tape, nothing, recording, refuse, tape


@pytest.fixture(autouse=True)
def _restore_threads() -> Iterator[None]:
    before = parallel.num_threads()
    yield
    parallel.set_num_threads(before)


def _add(values: np.ndarray, number: int) -> None:
    values += number


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("count", "grain", "blocks"), [(1000, 1, 0), (7, 3, 0), (1000, 1, 13), (3, 1, 50), (0, 1, 0)])
def test_every_item_once_and_again_for_each_play(threads: int, count: int, grain: int, blocks: int) -> None:
    parallel.set_num_threads(threads)
    seen, recorded = np.zeros(count, int), Tape()

    def of_range(start: int, stop: int) -> Any:
        return (_add, (seen[start:stop], 1)), (_add, (seen[start:stop], 2))

    calls.run(count, of_range, grain, blocks)
    with recording(recorded):
        calls.run(count, of_range, grain, blocks)
    assert recorded.complete
    assert (seen == 6).all()
    for told in recorded.calls:
        told.function(*told.arguments)
    assert (seen == 9).all()


def test_cost_decides_whether_work_is_divided() -> None:
    parallel.set_num_threads(2)
    with recording(Tape()) as _:
        recorded = tape()
        assert recorded is not None
        for cycles in (1e3, 1e9):
            calls.run_cycles(10, cycles, lambda _start, _stop: ((_add, (np.zeros(1), 1)),))
        calls.run_cycles(0, 0, lambda _start, _stop: ())
    assert [told.function for told in recorded.calls] == [_add, parallel.run]
    assert recorded.complete


def test_what_does_not_tell_makes_the_tape_incomplete() -> None:
    def kernel(told: bool) -> None:
        if told:
            nothing()

    for told, run in ((True, False), (False, False), (True, True)):
        recorded = Tape()
        with recording(recorded):
            recorded.watch(kernel, (told,), {})
            if run:
                parallel.run(3, lambda _start, _stop: None)
        assert recorded.complete == (told and not run)
    assert not Tape().complete
    refuse()
    assert tape() is None


def test_kernels_tell_of_all_they_do_or_nothing() -> None:
    x, y = np.linspace(-2, 2, 12, dtype=np.float32), np.zeros(12, np.float32)
    for kernel, arguments, complete in [
        (elementwise.relu, (x, 0.0, y), True),
        (elementwise.dropout, (x, 5, 0.5, y), False),
        (matmul.finish, (y.reshape(3, 4),), True),
        (matmul.gemm, (x.reshape(3, 4), x.reshape(4, 3), np.zeros((3, 3), np.float32)), True),
        (matmul.gemm, (np.zeros((3, 0)), np.zeros((0, 3)), np.zeros((3, 3))), False),
    ]:
        recorded = Tape()
        with recording(recorded):
            kernel(*arguments)
        assert recorded.complete == complete


def test_what_is_prepared_once_belongs_to_the_tape() -> None:
    written: list[int] = []

    def fill(memory: np.ndarray) -> None:
        written.append(memory.size)
        memory[:] = len(written)
        parallel.run(1, lambda _start, _stop: None)

    shared = prepared("test_calls", 5, np.float32, fill)
    assert prepared("test_calls", 5, np.float32, fill) is not None
    assert (shared == 2).all()
    recorded = Tape()
    with recording(recorded):
        own = prepared("test_calls", 5, np.float32, fill)
    prepared("test_calls", 5, np.float32, fill)
    assert not recorded.refused
    assert recorded.held == own.nbytes == 20
    assert (own == 3).all()
