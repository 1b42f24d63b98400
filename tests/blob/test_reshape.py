"""Shapes that a blob takes, and those it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from segcaffe.blob import Blob
from segcaffe.errors import ShapeError


@pytest.mark.parametrize("shape", [(), (0,), (1, 2), (np.int64(1), np.int32(2)), (1.0, 2)])
def test_whole_numbers_are_taken(shape: tuple[int, ...]) -> None:
    blob = Blob((3,))
    blob.reshape(*shape)
    assert blob.shape == shape
    assert blob.data.shape == shape


@pytest.mark.parametrize("shape", [(-1,), (1, 2.5), (float("nan"),), (1,) * 33])
def test_other_numbers_are_refused(shape: tuple[int, ...]) -> None:
    blob = Blob((3,))
    with pytest.raises(ShapeError, match="whole numbers"):
        blob.reshape(*shape)
    assert blob.shape == (3,)
