from __future__ import annotations

import numpy as np
import pytest

from segcaffe.errors import DataError, ShapeError
from segcaffe.layers.source.memory_data import MemoryData
from segcaffe.testing import LayerCase

OPTIONS = "memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 }"


def test_batches_are_taken_round_and_round() -> None:
    layer, _, top = LayerCase("MemoryData", OPTIONS, (), 2).build()
    assert isinstance(layer, MemoryData)
    with pytest.raises(DataError, match="call set_input_arrays before forward"):
        layer.forward([], top)
    data = np.arange(18.0).reshape(6, 1, 1, 3)
    layer.set_input_arrays(data, np.arange(6).reshape(6, 1, 1, 1))
    for k in range(5):
        layer.forward([], top)
        np.testing.assert_array_equal(top[0].data, data[2 * (k % 3) :][:2])
        np.testing.assert_array_equal(top[1].data, [2 * (k % 3), 2 * (k % 3) + 1])


@pytest.mark.parametrize(
    ("shape", "labels"), [((3, 1, 1, 3), 3), ((2, 1, 3), 2), ((2, 1, 1, 4), 2), ((0, 1, 1, 3), 0), ((2, 1, 1, 3), 3)]
)
def test_arrays_that_do_not_fit(shape: tuple[int, ...], labels: int) -> None:
    layer, _, _ = LayerCase("MemoryData", OPTIONS, (), 2).build()
    assert isinstance(layer, MemoryData)
    with pytest.raises(DataError, match=r"Received: "):
        layer.set_input_arrays(np.zeros(shape), np.zeros(labels))


def test_all_sizes_are_needed() -> None:
    with pytest.raises(ShapeError, match="needs batch_size, channels, height and width"):
        LayerCase("MemoryData", "memory_data_param { batch_size: 2 }", (), 2).build()
