"""What compiled functions call is linked into them: no machine code, no file, and one version of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segcaffe.jit import cache_folder
from segcaffe.jit.compiled import njit


@njit(nogil=True, cache=True)
def _root(value, least):
    if value < least:
        raise ValueError("below the least")
    return np.sqrt(value)


@njit(nogil=True, cache=True)
def _roots(values):
    values[0] = _root(values[0], 2)
    for i in range(1, values.size):
        values[i] = _root(values[i], i)


@njit(["void(float32[:], float64)", "void(float64[:], float64)"], nogil=True, cache=True)
def _add(values, number):
    for i in range(values.size):
        values[i] += number


@njit(nogil=True)
def _add_two(values):
    _add(values, 2)


def test_a_called_function_becomes_part_of_its_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_folder, "folder", lambda: tmp_path)
    values = np.array([4.0, 9.0])
    _roots(values)
    assert values.tolist() == [2, 3]
    assert [path.name.rsplit("._", 1)[1][:6] for path in tmp_path.glob("*._*")] == ["roots-"]
    assert not _root.overloads
    assert len(_root._within().overloads) == 1, "one version for the constant and for the variable"
    assert _root(16.0, 1) == 4
    assert len(list(tmp_path.glob("*._*"))) == 2


def test_what_a_called_function_raises_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_folder, "folder", lambda: tmp_path)
    for function in (_roots, njit(nogil=True, cache=True)(_roots.py_func)):
        with pytest.raises(ValueError, match="below the least"):
            function(np.zeros(1))


def test_declared_signatures_are_compiled_when_they_are_needed() -> None:
    assert not _add.overloads
    values = np.zeros((2, 3), np.float32)
    _add(values[:, 1], 1)
    _add(values[1], np.float32(2))
    assert values.tolist() == [[0, 1, 0], [2, 3, 2]]
    assert len(_add.overloads) == 1
    with pytest.raises(TypeError, match=r"_add: has no signature for arguments \(array\(int64"):
        _add(np.zeros(2, np.int64), 1.0)
    wide = np.zeros(2)
    _add_two(wide)
    assert wide.tolist() == [2, 2]


def test_arguments_that_are_converted_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays in C's order, and a whole number, for a function that declares any order and a float."""
    values = np.zeros(3, np.float32)
    _add(values, 1)
    monkeypatch.setattr(type(_add), "compile", lambda self, sig: pytest.fail(f"asked again for {sig}"))
    _add(values, 2)
    assert values.tolist() == [3, 3, 3]
    strided = np.zeros(6)[::2]
    with pytest.raises(pytest.fail.Exception, match="asked again"):
        _add(strided, 1)
