"""Copies of views with any order of axes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segcaffe.kernels import copy


@pytest.mark.parametrize(
    "shape", [(3, 20, 31, 33), (1, 41, 43, 64), (2, 1100, 7, 3), (70, 50, 60), (300, 200)], ids=str
)
def test_every_order_of_axes(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    for order in itertools.permutations(range(len(shape))):
        source = values.transpose(order)
        target = np.zeros(source.shape, np.float32)
        copy.copy(source, target)
        np.testing.assert_array_equal(target, source)


@pytest.mark.parametrize("shape", [(1, 5, 1, 1), (2, 5, 30, 1), (1, 1, 1, 70)])
def test_broadcast(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    target = np.zeros((2, 5, 30, 70), np.float32)
    copy.copy(values, target)
    np.testing.assert_array_equal(target, np.broadcast_to(values, target.shape))


def test_into_part_of_a_larger_array() -> None:
    whole = np.zeros((40, 30, 50), np.float32)
    source = np.random.default_rng(3).standard_normal((50, 20, 40)).astype(np.float32)
    copy.copy(source.transpose(2, 1, 0), whole[:, 5:25])
    np.testing.assert_array_equal(whole[:, 5:25], source.transpose(2, 1, 0))
    assert not whole[:, :5].any()
    assert not whole[:, 25:].any()
