from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.testing import LayerCase


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("transpose", ["true", "false"])
def test_equals_sums(axis, transpose):
    options = f"inner_product_param {{ num_output: 4 axis: {axis} transpose: {transpose} }}"
    layer, bottom, top = LayerCase("InnerProduct", options, ((2, 3, 5),)).build()
    layer.forward(bottom, top)
    x = bottom[0].data
    items = x.shape[: axis % 3]
    weight = layer.blobs[0].data.T if transpose == "true" else layer.blobs[0].data
    assert top[0].shape == (*items, 4)
    for place in np.ndindex(items):
        for m in range(4):
            expected = np.sum(weight[m].astype(float) * x[place].ravel()) + layer.blobs[1].data[m]
            np.testing.assert_allclose(top[0].data[(*place, m)], expected, rtol=1e-5, atol=1e-5)


def test_bad_options_are_explained():
    with pytest.raises(ShapeError, match=r"num_output must be 1 or more\. Received: 0"):
        LayerCase("InnerProduct", "").build()
    with pytest.raises(ShapeError, match="axis must lie in"):
        LayerCase("InnerProduct", "inner_product_param { num_output: 1 axis: 4 }").build()


def test_other_length_than_at_setup_is_explained():
    layer, bottom, top = LayerCase("InnerProduct", "inner_product_param { num_output: 1 }").build()
    bottom[0].reshape(2, 3, 5, 7)
    with pytest.raises(ShapeError, match=r"was set up for 90 values per item \(axes from 1 on\)\. Received: 105"):
        layer.reshape(bottom, top)
