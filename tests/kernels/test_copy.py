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


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int8])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((2, 37, 61, 33), (0, 2, 3, 1)),  # to channels last, none of them a multiple of a vector
        ((1, 1040, 2, 19, 2), (0, 2, 4, 1, 3)),  # every other pixel
        ((1, 2, 2, 30, 25, 41), (0, 3, 4, 1, 5, 2)),  # pixels between others
        ((7, 5, 6, 17, 19), (4, 1, 3, 0, 2)),
        ((70_000, 1, 2), (2, 1, 0)),
    ],
    ids=str,
)
def test_turned_blocks(shape: tuple[int, ...], axes: tuple[int, ...], dtype: type) -> None:
    values = np.random.default_rng(4).integers(-100, 100, shape).astype(dtype)
    source = values.transpose(axes)
    frame = np.zeros((*source.shape[:-1], source.shape[-1] + 3), dtype)
    target = frame[..., 1:-2]
    copy.copy(source, target)
    np.testing.assert_array_equal(target, source)
    assert not frame[..., 0].any()
    assert not frame[..., -2:].any()
    back = np.zeros(source.shape, dtype)
    copy.copy(source, back)
    np.testing.assert_array_equal(back, source)


def test_a_number_that_is_none_keeps_its_bits() -> None:
    bits = np.random.default_rng(5).integers(-(2**31), 2**31, (300, 400)).astype(np.int32)
    target = np.empty((400, 300), np.float32)
    copy.copy(bits.view(np.float32).T, target)
    np.testing.assert_array_equal(target.view(np.int32), bits.T)


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


@pytest.mark.parametrize("factors", [(1, 1), (2, 2), (3, 2), (2, 3), (1, 4)])
@pytest.mark.parametrize("shape", [(5, 33), (700, 26), (0, 4), (3, 1)], ids=str)
def test_rows_of_blocks(shape: tuple[int, int], factors: tuple[int, int]) -> None:
    source = np.random.default_rng(6).standard_normal(shape).astype(np.float32)
    target = np.full((shape[0], factors[0], shape[1], factors[1]), 9, np.float32)
    copy.repeat(source, target)
    np.testing.assert_array_equal(target.reshape(-1, shape[1] * factors[1]), np.kron(source, np.ones(factors)))
