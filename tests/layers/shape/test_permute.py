"""Permute against NumPy, and its errors."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.testing import LayerCase


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (3, 1, 0, 2), (1, 0), ()])
def test_values_and_gradients(order: tuple[int, ...]) -> None:
    options = f"permute_param {{ order: [{', '.join(map(str, order))}] }}" if order else ""
    layer, bottom, top = LayerCase("Permute", options, ((2, 3, 40, 50),)).build()
    layer.forward(bottom, top)
    axes = (*order, *(axis for axis in range(4) if axis not in order))
    np.testing.assert_array_equal(top[0].data, bottom[0].data.transpose(axes))
    top[0].diff[...] = top[0].data
    layer.backward(top, [True], bottom)
    np.testing.assert_array_equal(bottom[0].diff, bottom[0].data)


@pytest.mark.parametrize(("order", "rule"), [("1, 1", "names each axis once"), ("0, 4", "which has 4")])
def test_bad_orders(order: str, rule: str) -> None:
    with pytest.raises(ShapeError, match=rule):
        LayerCase("Permute", f"permute_param {{ order: [{order}] }}").build()
