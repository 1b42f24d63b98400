"""Calls that kernels tell without making any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from segcaffe.kernels import elementwise
from segcaffe.threads import calls, parallel
from segcaffe.threads.recording import Scout, UnknownError, recording


class _Pair(NamedTuple):
    first: Any
    second: Any


def _scouted(kernel: Callable[..., None], *arguments: Any, **options: Any) -> Scout:
    scout = Scout()
    with recording(scout):
        scout.watch(kernel, arguments, options)
    return scout


def test_calls_are_told_and_not_made() -> None:
    x, out = np.ones(5, np.float32), np.full(5, 7, np.float32)
    scout = Scout()
    with recording(scout):
        elementwise.exponential(x, 1.0, 1.0, out)
        calls.run(0, lambda start, stop: ((print, (start, stop)),))
    assert out.tolist() == [7] * 5
    (call,) = scout.calls
    given = [value for value in call.arguments if isinstance(value, np.ndarray)]
    assert given
    assert not any(np.shares_memory(value, own) for value in given for own in (x, out))


def test_what_tells_nothing_has_zeros_to_work_on() -> None:
    table = np.arange(24.0).reshape(4, 6)
    seen: list[Any] = []

    def kernel(*arrays: Any, pair: _Pair) -> None:
        seen.extend([*arrays, *pair])
        for array in arrays:
            array[...] = 3

    views = table[::2, 1:], table[::-1], table[:0], table.T
    _scouted(kernel, *views, pair=_Pair(views[1], 0.5))
    assert table.tolist() == np.arange(24.0).reshape(4, 6).tolist()
    for made, own in zip(seen, views, strict=False):
        assert (made.shape, made.strides, made.dtype) == (own.shape, own.strides, own.dtype)
    assert seen[4] is seen[1]
    assert seen[5] == 0.5


def test_work_that_a_kernel_divides_itself_is_not_done() -> None:
    with pytest.raises(UnknownError):
        _scouted(lambda: parallel.run(4, lambda start, stop: pytest.fail(f"{start}, {stop}")))
