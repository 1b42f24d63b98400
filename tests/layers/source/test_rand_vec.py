"""RandVec: what it draws, and when."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase


def _layer(options: str) -> tuple:
    return LayerCase("RandVec", f"rand_vec_param {{ {options} }}", ()).build()


def test_numbers_in_their_range() -> None:
    layer, bottom, top = _layer("batch_size: 50 dim: 40 lower: -2 upper: 3")
    layer.forward(bottom, top)
    values = np.array(top[0].data)
    assert values.shape == (50, 40)
    assert values.min() >= -2
    assert values.max() <= 3
    # The mean of 2000 even draws strays by 0.03, as does their deviation.
    assert values.mean() == pytest.approx(0.5, abs=0.2)
    assert values.std() == pytest.approx(5 / 12**0.5, abs=0.2)


def test_images() -> None:
    assert _layer("batch_size: 2 dim: 3 height: 4 width: 5")[2][0].shape == (2, 3, 4, 5)
    assert _layer("batch_size: 2 dim: 3 height: 4")[2][0].shape == (2, 3)


def test_repeated_and_resumed() -> None:
    layer, bottom, top = _layer("batch_size: 2 dim: 3 repeat: 2")
    drawn = []
    for _ in range(5):
        layer.forward(bottom, top)
        drawn.append(np.array(top[0].data))
    assert [(a == b).all() for a, b in itertools.pairwise(drawn)] == [True, False, True, False]
    assert layer.state() == {"passes": 5}
    layer.restore({"passes": 5})
    layer.forward(bottom, top)
    assert (top[0].data != drawn[4]).any()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("dim: 3", "needs batch_size and dim. Received: 0 and 3"),
        ("batch_size: 1 dim: 3 lower: 1", "lower below upper"),
        ("batch_size: 1 dim: 3 upper: inf", "lower below upper"),
        ("batch_size: 1 dim: 3 repeat: 0", "repeat of at least 1"),
    ],
)
def test_what_is_refused(options: str, told: str) -> None:
    with pytest.raises(SegcaffeError, match=told):
        _layer(options)
