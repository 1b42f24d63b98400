"""Jobs for several processes: which there are, who does them, and what becomes of those that fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segcaffe.jit import ahead, cache_folder, worker
from segcaffe.jit.compiled import njit
from segcaffe.kernels.matmul import cpu as matmul
from segcaffe.kernels.matmul import dots


# None is kept in the cache: each run begins with all of them missing.
@njit(nogil=True)
def _small(x):
    return x + 1


@njit(nogil=True)
def _large(x):
    total = 0 * x
    for i in range(10):
        total += _small(x) if i % 2 else x * i
    return total


@njit(nogil=True, cache=True)
def _wrong(x):
    return x.nothing_of_the_kind


def _signature() -> Any:
    factors = np.zeros((2, 8), np.float32)
    return dots.multiply.wanted((factors, factors, factors, 0, 1))


def test_each_job_once_and_the_largest_first() -> None:
    calls = [(_small, (1,)), (_large, (1,)), (_small, (2,)), (_small, (1.5,)), (print, (1,))]
    found = ahead.jobs(calls, ahead.Job(_small, _small.wanted((1,))))
    assert [job.function for job in found] == [_large, _small, _small]
    assert [str(job.signature) for job in found] == ["(int64,)", "(int64,)", "(float64,)"]
    ahead.compile_all(found, 1)
    assert ahead.jobs(calls) == []
    assert list(map(str, _small.overloads)) == ["(int64,)", "(float64,)"]


def test_what_fails_is_left_to_its_caller() -> None:
    told: list[tuple[int, int]] = []
    with ahead.progress_told(lambda *both: told.append(both)):
        ahead.compile_all(ahead.jobs([(_wrong, (1,))]), 2)
    assert told == [(0, 1), (1, 1)]
    with pytest.raises(Exception, match="nothing_of_the_kind"):
        _wrong(1)


def test_only_what_others_find_is_sent() -> None:
    assert ahead.Job(dots.multiply, _signature()).can_be_sent
    assert not ahead.Job(_small, _signature()).can_be_sent, "no module of the package"
    assert not ahead.Job(njit(cache=True)(_small.py_func), _signature()).can_be_sent


@pytest.mark.parametrize("start", ["raise SystemExit", "import sys; sys.stdin.buffer.read(9)"])
def test_a_worker_that_ends_leaves_its_jobs(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_START", start)
    monkeypatch.setattr(ahead, "_WORTH_A_PROCESS", 1)
    monkeypatch.setattr(ahead.Job, "can_be_sent", property(lambda job: True))
    functions = [njit(nogil=True)(_small.py_func) for _ in range(3)]
    ahead.compile_all(ahead.jobs([(function, (1,)) for function in functions]), 3)
    assert all(function.overloads for function in functions)


@pytest.mark.parametrize(
    ("executable", "frozen", "starts"),
    [("/usr/bin/python3.11", False, True), ("C:/Python/python.exe", False, True), ("/opt/app/app", False, False),
     ("/opt/app/python", True, False), (None, False, False)],
)  # fmt: skip
def test_programs_that_contain_python_are_not_started_again(
    executable: str | None, frozen: bool, starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead.sys, "executable", executable)
    monkeypatch.setattr(ahead.sys, "frozen", frozen, raising=False)
    assert ahead._is_python() is starts


def test_no_worker_where_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_WORTH_A_PROCESS", 1)
    jobs = [ahead.Job(dots.multiply, _signature())] * 3
    monkeypatch.setattr(cache_folder, "folder", lambda: tmp_path)
    assert ahead._workers_wanted(jobs) == 2
    monkeypatch.setattr(ahead.os, "access", lambda *_: False)
    assert ahead._workers_wanted(jobs) == 0
    monkeypatch.setattr(cache_folder, "folder", lambda: None)
    assert ahead._workers_wanted(jobs) == 0


def test_calls_that_would_fail_are_left_out() -> None:
    assert ahead.jobs([(matmul._gemm, (True, "no matrix")), (len, ())]) == []


def test_a_worker_answers_each_order(tmp_path: Path) -> None:
    good = ahead.Job(dots.multiply, _signature()).order
    bad = good.replace(b"multiply", b"no_thing")
    (tmp_path / "orders").write_bytes(good + bad)
    with (tmp_path / "orders").open("rb") as orders, (tmp_path / "answers").open("wb") as answers:
        worker.run(orders, answers)
    assert (tmp_path / "answers").read_bytes() == worker.DONE + worker.FAILED
