from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import ShapeError
from segcaffe.testing import LayerCase


def test_only_constants_are_kept_between_forwards() -> None:
    fillers = 'data_filler { value: 3 } data_filler { type: "uniform" }'
    layer, _, top = LayerCase("DummyData", f"dummy_data_param {{ shape {{ dim: 20 }} {fillers} }}", (), 2).build()
    before = top[1].data.copy()
    top[0].data[...] = 7
    layer.forward([], top)
    assert (top[0].data == 7).all()
    assert (top[1].data != before).any()


@pytest.mark.parametrize(
    "options",
    [
        "shape { dim: 2 } shape { dim: 2 }",
        "num: 2 channels: 3",
        "shape { dim: 2 } num: 2 channels: 1 height: 1 width: 1",
        "shape { dim: 2 } data_filler { } data_filler { }",
    ],
)
def test_sizes_and_fillers_are_given_once_or_for_each_top(options: str) -> None:
    with pytest.raises(ShapeError, match="dummy_data_param"):
        LayerCase("DummyData", f"dummy_data_param {{ {options} }}", (), 3).build()


def test_old_sizes_for_each_top() -> None:
    options = "dummy_data_param { num: 1 num: 2 channels: 3 height: 4 width: 5 width: 6 }"
    _, _, top = LayerCase("DummyData", options, (), 2).build()
    assert [blob.shape for blob in top] == [(1, 3, 4, 5), (2, 3, 4, 6)]
    np.testing.assert_array_equal(top[1].data, 0)


def test_input_shapes_are_given_once_or_for_each_top() -> None:
    with pytest.raises(ShapeError, match=r"one shape for all tops or one for each of the 3. Received: 2 shapes"):
        LayerCase("Input", "input_param { shape { dim: 1 } shape { dim: 2 } }", (), 3).build()
