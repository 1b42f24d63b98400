"""A short run of the fuzzer, and proof that it sees what it looks for."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py")
pytest.importorskip("lmdb")

from segcaffe.errors import SegcaffeError, WeightsError
from tests.fuzz.all_kinds import KINDS
from tests.fuzz.kinds import Kind, write
from tests.fuzz.run import run_kind

REFUSED_WHOLE = {"net, built", "label maps, PNG", "label maps, other images", "record of results"}
"""Kinds with a few whole inputs that are refused: without data, with boxes of no size, in colours of no palette."""


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_inputs(kind: str) -> None:
    outcome = run_kind(kind, 0, 12)
    assert outcome.failures == ()
    assert outcome.loaded + outcome.refused == 12


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_inputs(kind: str) -> None:
    assert run_kind(kind, 12, 600).failures == ()


@pytest.mark.parametrize("kind", KINDS)
def test_whole_inputs_load(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = KINDS[kind].whole
    loaded = 0
    for number, files in enumerate(whole):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder, files)
        monkeypatch.chdir(folder)
        try:
            KINDS[kind].read(folder)
            loaded += 1
        except SegcaffeError:
            if kind not in REFUSED_WHOLE:
                raise
    assert loaded > 0.8 * len(whole)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_can_be_repeated_and_is_of_many_kinds(kind: str) -> None:
    cases = [KINDS[kind].case(kind, number) for number in range(30)]
    assert cases == [KINDS[kind].case(kind, number) for number in range(30)]
    assert len({repr(case) for case in cases}) > 15
    assert sum(case in KINDS[kind].whole for case in cases) < 15


def _die(folder: Path) -> None:
    os._exit(3)


def _refuse(folder: Path) -> None:
    raise WeightsError("no")


def _refuse_without_a_word(folder: Path) -> None:
    raise WeightsError


def _break(folder: Path) -> None:
    raise KeyError("a bug")


def _claim(folder: Path) -> None:
    # More than any gap in the heap of the tests' process, less than what is refused without a limit.
    np.empty(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2, np.uint8)


def _take(folder: Path) -> None:
    # Mapped anew: a gap in the heap may have its pages already.
    np.frombuffer(mmap.mmap(-1, 520 << 20), np.uint8)[:] = 1


@pytest.mark.parametrize(
    ("reader", "what"),
    [
        (_die, "the process died with status 3"),
        (_break, "KeyError: 'a bug'"),
        (_claim, "MemoryError"),
        (_take, "took 52"),
        (_refuse_without_a_word, "an error without a message"),
        (lambda folder: time.sleep(2.1), "took 2.1 s"),
        (_refuse, None),
    ],
)
def test_what_goes_wrong_is_seen(
    reader: Callable[[Path], None], what: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def once_whole(folder: Path) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            reader(folder)

    example = {"file": b"content"}
    monkeypatch.setitem(KINDS, "a kind", Kind(lambda: [example], once_whole, (lambda rng, data: data[:-1],)))
    outcome = run_kind("a kind", 0, 1)
    if what is None:
        assert (outcome.failures, outcome.refused) == ((), 1)
    else:
        (failure,) = outcome.failures
        assert what in failure.what


def test_after_an_input_that_ends_the_process_the_next_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(folder: Path) -> None:
        if (folder / "file").read_bytes() == b"3":
            os._exit(9)

    whole = [{"file": b""}]
    kind = Kind(lambda: whole, read, (lambda rng, data: str(rng.randrange(4)).encode(),))
    monkeypatch.setitem(KINDS, "a kind", kind)
    ended = sum(kind.case("a kind", number) == {"file": b"3"} for number in range(20))
    outcome = run_kind("a kind", 0, 20)
    assert 1 <= ended == len(outcome.failures)
    assert outcome.loaded == 20 - ended
