"""The domain transform on images of more than one tile, cut to sizes that end within, at and beyond a tile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segcaffe import device
from segcaffe.kernels import domain_transform

pytestmark = pytest.mark.usefixtures("host_device")
SHAPE = (4, 3, 37, 70)
SIZES = np.array([[37, 70], [1, 64], [33, 33], [17, 1]])


def _arrays(dtype: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    num, _, height, width = SHAPE
    return {
        "image": rng.standard_normal(SHAPE).astype(dtype),
        "weights": rng.random((2, num, height, width)).astype(dtype),
        "sizes": SIZES,
        "grad": rng.standard_normal(SHAPE).astype(dtype),
        "weight_grad": np.full((2, num, height, width), 7, dtype),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_tiles_meet(dtype: Any) -> None:
    arrays = _arrays(dtype)
    moved = {name: device.to_device(array) for name, array in arrays.items()}
    for side in (arrays, moved):
        domain_transform.backward(side["image"], side["weights"], side["sizes"], side["grad"], side["weight_grad"])
        domain_transform.forward(side["image"], side["weights"], side["sizes"])
    tolerance = 2e-5 if dtype == np.float32 else 2e-13
    for name in ("image", "grad", "weight_grad"):
        np.testing.assert_allclose(device.to_host(moved[name]), arrays[name], rtol=0, atol=tolerance, err_msg=name)
