from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.testing import LayerCase

OPTIONS = "embed_param { num_output: 3 input_dim: 4 }"


def test_rows_and_gradients_equal_loops():
    index = np.array([[3, 0], [3, 3], [1, 0]])
    layer, bottom, top = LayerCase("Embed", OPTIONS).build(inputs=[index])
    layer.forward(bottom, top)
    table, bias = (blob.data for blob in layer.blobs)
    assert top[0].shape == (3, 2, 3)
    for place in np.ndindex(index.shape):
        np.testing.assert_allclose(top[0].data[place], table[index[place]] + bias, rtol=1e-6)
    top[0].diff[...] = np.arange(18).reshape(3, 2, 3)
    layer.blobs[0].diff[...] = 1
    layer.blobs[1].diff[...] = 2
    layer.backward(top, [False], bottom)
    expected = np.ones((4, 3))
    for place in np.ndindex(index.shape):
        expected[index[place]] += top[0].diff[place]
    np.testing.assert_array_equal(layer.blobs[0].diff, expected)
    np.testing.assert_array_equal(layer.blobs[1].diff, 2 + top[0].diff.sum((0, 1)))


@pytest.mark.parametrize("bad", [4, -1, np.nan])
def test_index_outside_the_table_is_explained(bad):
    layer, bottom, top = LayerCase("Embed", OPTIONS).build(inputs=[np.array([0.0, bad, 1.0])])
    with pytest.raises(ShapeError, match=r'layer "layer" \(Embed\): every index must lie in \[0, 4\)'):
        layer.forward(bottom, top)


@pytest.mark.parametrize(("options", "message"), [("num_output: 3", "input_dim"), ("input_dim: 3", "num_output")])
def test_missing_size_is_explained(options, message):
    with pytest.raises(ShapeError, match=f"{message} must be 1 or more"):
        LayerCase("Embed", f"embed_param {{ {options} }}", ((2,),)).build()
