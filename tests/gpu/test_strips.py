"""Windows in strips: both runs of taps, dilations that leave rows over or exceed the image, classes left over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segcaffe import device
from segcaffe.kernels import im2dist, meanfield
from segcaffe.kernels.cuda.strips import RUNS, run_of
from segcaffe.window import Window
from tests.gpu.host import HostModule

pytestmark = pytest.mark.usefixtures("host_device")
WINDOWS = {
    "13x13": ((13, 13), (2, 1)),
    "5x3": ((5, 3), (3, 2)),
    "1x7": ((1, 7), (1, 1)),
    "higher than the image": ((3, 3), (20, 2)),
    "wider than the image": ((7, 3), (1, 40)),
}
IMAGE = (19, 37)
"""More than the lanes of a warp in a row, less than two; rows that divide into no number of strips."""


@pytest.fixture(params=WINDOWS.values(), ids=WINDOWS.keys())
def window(request: pytest.FixtureRequest) -> Window:
    kernel, dilation = request.param
    pad = tuple((k - 1) * d // 2 for k, d in zip(kernel, dilation, strict=True))
    return Window(kernel, (1, 1), pad, dilation)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


def _normal(dtype: Any, *shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def _check(function: Any, written: int, arrays: list[np.ndarray], *options: Any) -> None:
    moved = [device.to_device(array) for array in arrays]
    function(*arrays, *options)
    function(*moved, *options)
    expected = arrays[written]
    scale = np.abs(expected[np.abs(expected) < 1e30]).max()
    tolerance = (2e-5 if expected.dtype == np.float32 else 2e-13) * max(scale, 1)
    np.testing.assert_allclose(device.to_host(moved[written]), expected, rtol=1e-6, atol=tolerance)


@pytest.mark.parametrize("l1", [False, True])
@pytest.mark.parametrize("removed", [False, True])
def test_distances(window: Window, dtype: Any, l1: bool, removed: bool) -> None:
    image, dist = _normal(dtype, 2, 7, *IMAGE), np.full((2, window.taps, *IMAGE), 7, dtype)
    _check(im2dist.forward, 1, [image, dist], window, l1, removed, removed)
    assert f"forward_{run_of(window)}" in HostModule.launches


@pytest.mark.parametrize("l1", [False, True])
def test_gradient_of_distances(window: Window, dtype: Any, l1: bool) -> None:
    image, grad = _normal(dtype, 2, 7, *IMAGE), _normal(dtype, 2, window.taps, *IMAGE)
    _check(im2dist.backward, 2, [image, grad, np.full_like(image, 7)], window, l1)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("classes", [1, 7, 10])
def test_filter(window: Window, dtype: Any, classes: int, transposed: bool) -> None:
    values, weights = _normal(dtype, 2, classes, *IMAGE), _normal(dtype, 2, window.taps, *IMAGE)
    _check(meanfield.filter_classes, 2, [values, weights, np.full_like(values, 7)], window, transposed)


def test_gradient_of_weights(window: Window, dtype: Any) -> None:
    values, grad = _normal(dtype, 2, 10, *IMAGE), _normal(dtype, 2, 10, *IMAGE) + dtype(1)
    _check(meanfield.add_weight_grad, 2, [values, grad, _normal(dtype, 2, window.taps, *IMAGE)], window)


def test_nothing_comes_from_outside() -> None:
    """What is NaN spreads to the pixels whose windows see it, and no further."""
    window = Window((3, 3), (1, 1), (2, 2), (2, 2))
    values, weights = _normal(np.float32, 1, 2, *IMAGE), _normal(np.float32, 1, 9, *IMAGE)
    values[0, 0, 4, 4] = np.nan
    out = np.zeros_like(values)
    moved = device.to_device(out)
    meanfield.filter_classes(device.to_device(values), device.to_device(weights), moved, window, False)
    spread = np.argwhere(np.isnan(device.to_host(moved)))
    assert {tuple(place) for place in spread} == {(0, 0, y, x) for y in (2, 4, 6) for x in (2, 4, 6)}


def test_runs_waste_little() -> None:
    """A 3x3 window goes in runs of 3, a 13x13 one in two of 7."""
    runs = {k: run_of(Window((k, k), (1, 1), (k // 2, k // 2), (1, 1))) for k in (1, 3, 5, 7, 9, 13)}
    assert set(runs.values()) <= set(RUNS)
    assert runs == {1: 3, 3: 3, 5: 7, 7: 7, 9: 3, 13: 7}
