"""LRN against loops over values, and its errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.testing import LayerCase


def region(index, shape, size: int, across: bool):
    """The part of the blob around a value."""
    n, *rest = index
    axes = (1,) if across else (2, 3)
    part = [slice(n, n + 1)]
    for axis, (i, extent) in enumerate(zip(rest, shape[1:], strict=True), 1):
        reach = size // 2 if axis in axes else 0
        part.append(slice(max(0, i - reach), min(extent, i + reach + 1)))
    return tuple(part)


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("where", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_values_and_gradient(where: str, size: int) -> None:
    across = where == "ACROSS_CHANNELS"
    alpha, beta, k = 0.5, 0.6, 2.0 if across else 1.0
    count = size if across else size * size
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 6))
    case = LayerCase(
        "LRN", f"lrn_param {{ local_size: {size} alpha: 0.5 beta: 0.6 k: 2 norm_region: {where} }}", (x.shape,)
    )
    layer, bottom, top = case.build(np.float64, [x])
    layer.forward(bottom, top)
    top[0].diff[...] = np.linspace(-1, 1, x.size).reshape(x.shape)
    layer.backward(top, [True], bottom)
    places = list(itertools.product(*map(range, x.shape)))
    mean = np.empty(x.shape)
    for i in places:
        mean[i] = (x[region(i, x.shape, size, across)] ** 2).sum() / count
    scale = k + alpha * mean
    np.testing.assert_allclose(top[0].data, x * scale**-beta, rtol=1e-6)
    expected = np.empty(x.shape)
    ratio = top[0].diff * x * scale ** (-beta - 1)
    for i in places:
        back = ratio[region(i, x.shape, size, across)].sum()
        expected[i] = top[0].diff[i] * scale[i] ** -beta - 2 * alpha * beta / count * x[i] * back
    np.testing.assert_allclose(bottom[0].diff, expected, atol=1e-6)


def test_blocks_of_pixels_meet() -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 33, 50)).astype(np.float32)
    case = LayerCase("LRN", "lrn_param { local_size: 3 alpha: 1 }")
    layer, bottom, top = case.build(np.float32, [x])
    layer.forward(bottom, top)
    padded = np.pad(x.astype(float) ** 2, ((0, 0), (1, 1), (0, 0), (0, 0)))
    scale = 1 + (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    np.testing.assert_allclose(top[0].data, x * scale**-0.75, rtol=2e-5)


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ("lrn_param { local_size: 4 }", (1, 2, 3, 4), "local_size must be odd"),
        ("lrn_param { local_size: 0 }", (1, 2, 3, 4), "local_size must be odd"),
        ("", (2, 3), "4 axes"),
    ],
)
def test_options_and_shapes_that_break_a_rule(options: str, shape, message: str) -> None:
    with pytest.raises(SegcaffeError, match=message) as error:
        LayerCase("LRN", options, (shape,)).build()
    assert 'layer "layer" (LRN)' in str(error.value)
    assert "Received:" in str(error.value)
