"""Calls of compiled functions made as one call: every kind of argument, order, errors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from segcaffe.jit.compiled import njit
from segcaffe.jit.stretch import Lookup, Stretch, is_compiled


class _Sizes(NamedTuple):
    shift: float
    steps: tuple[int, int, int]
    table: Any


@njit(nogil=True)
def _fill(out, number, single, double, flag, small, pair, sizes, matrix):
    out[0], out[1], out[2], out[3] = number, single, double, 1.0 if flag else 0.0
    out[4], out[5], out[6] = small, pair[0], pair[1]
    out[7], out[8], out[9] = sizes.shift, sizes.steps[2], sizes.table[1]
    for i in range(matrix.shape[0]):
        out[10 + i] = matrix[i, 1]


@njit(nogil=True)
def _double(values, limit):
    for i in range(values.size):
        if values[i] > limit:
            raise ValueError("a value beyond the limit")
        values[i] *= 2


@njit("void(float32[:], int64)", nogil=True)
def _add(values, number):
    values += number


def _arguments() -> tuple[np.ndarray, tuple[Any, ...]]:
    out = np.zeros(13)
    sizes = _Sizes(-2.5, (1, 2, 2**62), np.array([3, -(2**40)]))
    numbers = -(2**60), np.float32(0.1), 0.1, True, np.uint32(2**32 - 1), (np.float32(1.5), -7)
    return out, (out, *numbers, sizes, np.arange(12.0).reshape(4, 3)[::2])


def test_every_kind_of_argument_arrives() -> None:
    wanted, arguments = _arguments()
    _fill(*arguments)
    found, arguments = _arguments()
    assert is_compiled(_fill, arguments)
    Stretch([(_fill, arguments)])()
    assert found.tobytes() == wanted.tobytes()
    assert wanted.any(axis=0)


def _compile_both() -> None:
    _double(np.ones(1, np.float32), 99.0)
    _add(np.ones(1, np.float32), 1)


def test_calls_are_made_in_order_as_often_as_asked() -> None:
    values = np.ones(5, np.float32)
    _compile_both()
    play = Stretch([(_add, (values, 3)), (_double, (values, 1e9)), (_add, (values[::2], 1))])
    play()
    assert values.tolist() == [9, 8, 9, 8, 9]
    play()
    assert values.tolist() == [25, 22, 25, 22, 25]


def test_what_a_call_raises_is_raised_and_the_calls_behind_it_are_not_made() -> None:
    values, others = np.ones(3, np.float32), np.ones(3, np.float32)
    _compile_both()
    play = Stretch([(_double, (values, 3.0)), (_add, (others, 1))])
    play()
    play()
    with pytest.raises(ValueError, match="beyond the limit"):
        play()
    assert others.tolist() == [3, 3, 3]


def test_no_calls() -> None:
    Stretch([])()


def test_what_is_compiled() -> None:
    single, double = np.ones(3, np.float32), np.ones(3)
    assert is_compiled(_add, (single, 3))
    assert is_compiled(_add, (single[::2], 3))
    assert not is_compiled(_add, (double, 3))
    assert not is_compiled(_add, (single, 3.5))
    single.flags.writeable = False
    assert not is_compiled(_add, (single, 3))
    assert not is_compiled(np.copyto, (double, double))


def test_arrays_live_as_long_as_their_calls() -> None:
    play = Stretch([(_add, (np.ones(1 << 16, np.float32), 3))])
    for _ in range(20):
        others = np.ones(1 << 16, np.float32)
        play()
        assert (others == 1).all()


@njit(nogil=True)
def _count(values, sizes, number):
    values[0] += sizes[0] + number


def test_calls_like_the_last_one_are_found_without_looking_at_their_types(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("segcaffe.jit.stretch._overload", lambda function, given: asked.append(given) or given)
    look_up, values = Lookup(), np.zeros(4)[:]
    first = (values, (1, values[:2]), 3)
    assert look_up(_count, first) is first
    assert look_up(_count, (values[1:], (2, values[2:]), 4)) is first
    assert len(asked) == 1
    others = [
        (values[::2], (1, values[:2]), 3),
        (values, (1, values[:2].astype("f4")), 3),
        (values, (1, values[:2]), 1 << 40),
    ]
    for other in [*others, (values, (1, values[:2]), 3.0), (values, (1, values[:2], 1), 3)]:
        assert look_up(_count, other) is other
        look_up(_count, first)


def test_a_function_that_is_not_compiled_for_it_is_looked_for_again() -> None:
    look_up, values = Lookup(), np.zeros(4)
    assert look_up(_count, (values, (1, 2), 3)) is None
    _count(values, (1, 2), 3)
    assert Lookup()(_count, (values, (1, 2), 3)) is not None
    assert look_up(_count, (values[::2], (1, 2), 3)) is None
