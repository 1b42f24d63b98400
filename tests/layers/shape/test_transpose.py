"""Transpose by loops, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase


def _both(options: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The top; and the gradient of the bottom where that of the top is the top."""
    layer, bottom, top = LayerCase("Transpose", options, (x,)).build(dtype=np.float64)
    layer.forward(bottom, top)
    top[0].diff[...] = top[0].data
    layer.backward(top, [True], bottom)
    return np.array(top[0].data), np.array(bottom[0].diff)


def test_axes_in_another_order() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    y, back = _both("transpose_param { dim: 2 dim: 0 dim: 1 }", x)
    assert y.shape == (4, 2, 3)
    for (i, j, k), value in np.ndenumerate(x):
        assert y[k, i, j] == value
    assert (back == x).all()


def test_pixels_become_rows() -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 4, 5))
    y, back = _both("", x)
    assert y.shape == (40, 3, 1, 1)
    for (n, c, i, j), value in np.ndenumerate(x):
        assert y[(n * 4 + i) * 5 + j, c, 0, 0] == value
    assert (back == x).all()


def test_planes_become_images() -> None:
    x = np.random.default_rng(2).standard_normal((2, 3, 4, 5, 2))
    y, back = _both("", x)
    assert y.shape == (8, 3, 5, 2)
    for (n, c, d, i, j), value in np.ndenumerate(x):
        assert y[n * 4 + d, c, i, j] == value
    assert (back == x).all()


@pytest.mark.parametrize(
    ("options", "shape", "told"),
    [
        ("transpose_param { dim: 0 dim: 1 }", (2, 3, 4), r"must name each of the 3 axes once. Received: \(0, 1\)"),
        ("transpose_param { dim: 0 dim: 0 }", (2, 3), "each of the 2 axes once"),
        ("transpose_param { }", (2, 3), "each of the 2 axes once"),
        ("", (2, 3), r"needs transpose_param, or images"),
    ],
)
def test_what_is_refused(options: str, shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(SegcaffeError, match=told):
        LayerCase("Transpose", options, (shape,)).build()
