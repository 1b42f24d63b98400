"""A short run of the fuzzer, and proof that it sees what it looks for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("h5py")

from segcaffe.errors import WeightsError
from tests.fuzz import files
from tests.fuzz.files import READERS, seeds
from tests.fuzz.mutate import mutate
from tests.fuzz.run import run


@pytest.mark.parametrize("kind", READERS)
def test_damaged_files(kind: str) -> None:
    outcome = run(150, [kind])
    assert outcome.failures == ()
    assert outcome.loaded + outcome.refused == 150
    assert outcome.refused > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_many_damaged_files(kind: str) -> None:
    assert run(2000, [kind], first=150).failures == ()


@pytest.mark.parametrize("kind", READERS)
def test_whole_files_load(kind: str, tmp_path: Path) -> None:
    for data in seeds()[kind]:
        path = tmp_path / f"file.{kind}"
        path.write_bytes(data)
        READERS[kind](path)


def test_damage_can_be_repeated() -> None:
    whole = seeds()["caffemodel"]
    damaged = [mutate("caffemodel", whole, number) for number in range(50)]
    assert damaged == [mutate("caffemodel", whole, number) for number in range(50)]
    assert len(set(damaged)) > 40


def _die(path: Path) -> None:
    os._exit(3)


def _refuse(path: Path) -> None:
    raise WeightsError("no")


def _refuse_without_a_word(path: Path) -> None:
    raise WeightsError


def _break(path: Path) -> None:
    raise KeyError("a bug")


def _claim(path: Path) -> None:
    np.empty(1 << 30, np.uint8)


@pytest.mark.parametrize(
    ("reader", "what"),
    [
        (_die, "the process died with status 3"),
        (_break, "KeyError: 'a bug'"),
        (_claim, "MemoryError"),
        (_refuse_without_a_word, "an error without a message"),
        (lambda path: time.sleep(2.1), "took 2.1 s"),
        (_refuse, None),
    ],
)
def test_what_goes_wrong_is_seen(
    reader: Callable[[Path], None], what: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def once_whole(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            reader(path)

    monkeypatch.setitem(files.READERS, "solverstate", once_whole)
    outcome = run(1, ["solverstate"])
    if what is None:
        assert (outcome.failures, outcome.refused) == ((), 1)
    else:
        (failure,) = outcome.failures
        assert what in failure.what
