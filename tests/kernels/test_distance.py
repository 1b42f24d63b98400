"""Registered distances: equal to those that have code of their own, whatever the window; registration is checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segcaffe.errors import SegcaffeError
from segcaffe.kernels import distance as kernels
from segcaffe.kernels import im2dist
from segcaffe.kernels.distance import registry
from segcaffe.kernels.distance.registry import L1, L2, Distance, find_distance, register_distance, unknown_distance
from segcaffe.threads import parallel
from segcaffe.window import Window

WINDOWS = {
    "3x3": Window((3, 3), (1, 1), (2, 2), (2, 2)),
    "even": Window((2, 4), (1, 2), (1, 1), (1, 3)),
    "overpadded": Window((3, 5), (2, 1), (4, 3), (1, 1)),
    "large": Window((5, 5), (1, 1), (2, 2), (1, 1)),
    "small, as far as runs may read": Window((3, 3), (1, 1), (1, 7), (1, 7)),
    "small, twice as many taps": Window((3, 5), (1, 1), (1, 2), (1, 1)),
}


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten."""
    monkeypatch.setattr(registry, "_known", dict(registry._known))


@pytest.mark.parametrize(("distance", "dtype"), [(L1, np.float32), (L2, np.float64)], ids=["l1", "l2"])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=list(WINDOWS))
def test_the_papers_distances_agree(window: Window, distance: Distance, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(2, 5, 11, 23)).astype(dtype)
    shape = (2, window.taps, *window.output_shape(image.shape[2:]))
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype is np.float32 else {"rtol": 1e-12, "atol": 1e-12}
    for remove in (False, True):
        expected, received = np.full(shape, 7, dtype), np.full(shape, 7, dtype)
        im2dist.forward(image, expected, window, distance is L1, remove, remove)
        kernels.forward(image, received, window, distance, remove, remove)
        np.testing.assert_allclose(received, expected, **close)
    grad = rng.normal(size=shape).astype(dtype)
    expected, received = np.full_like(image, 7), np.full_like(image, 7)
    im2dist.backward(image, grad, expected, window, distance is L1)
    kernels.backward(image, grad, received, window, distance)
    np.testing.assert_allclose(received, expected, **close)


def test_an_odd_function_tells_centre_from_neighbour() -> None:
    """Only the difference centre minus neighbour counts, so that a distance need not be the same both ways."""
    rng = np.random.default_rng(1)
    image, window = rng.normal(size=(1, 2, 6, 7)), WINDOWS["3x3"]
    uneven = Distance("uneven", lambda d: max(d, 0.0) ** 2, lambda d: 2 * max(d, 0.0))
    dist, grad = np.empty((1, 9, 6, 7)), rng.normal(size=(1, 9, 6, 7))
    kernels.forward(image, dist, window, uneven)
    assert dist[0, 8, 0, 0] == pytest.approx((np.maximum(image[0, :, 0, 0] - image[0, :, 2, 2], 0) ** 2).sum())
    found, step = np.empty_like(image), 1e-6
    kernels.backward(image, grad, found, window, uneven)
    for place in ((0, 0, 0, 0), (0, 1, 3, 4), (0, 0, 5, 6)):
        values = []
        for sign in (1, -1):
            moved = image.copy()
            moved[place] += sign * step
            kernels.forward(moved, dist, window, uneven)
            values.append(float((dist * grad).sum()))
        assert found[place] == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)


def test_bits_do_not_depend_on_threads() -> None:
    image = np.random.default_rng(2).normal(size=(1, 16, 40, 50)).astype(np.float32)
    window, results = WINDOWS["large"], []
    before = parallel.num_threads()
    for threads in (1, 3):
        parallel.set_num_threads(threads)
        dist, grad = np.empty((1, 25, 40, 50), np.float32), np.empty_like(image)
        kernels.forward(image, dist, window, L1)
        kernels.backward(image, dist, grad, window, L1)
        results.append(dist.tobytes() + grad.tobytes())
    parallel.set_num_threads(before)
    assert results[0] == results[1]


def _huber(d: float) -> float:
    return 0.5 * d * d if abs(d) < 1 else abs(d) - 0.5


def _clipped(d: float) -> float:
    return min(1.0, max(-1.0, d))


def test_a_registered_distance_is_found_and_may_be_replaced() -> None:
    register_distance("huber", _huber, _clipped)
    first = find_distance("huber")
    register_distance("huber", _huber, _clipped)
    assert first is not None
    assert find_distance("huber") not in (None, first)
    assert 'Did you mean "huber"?' in unknown_distance("hubert")


REFUSED: dict[str, tuple[str, Callable[[float], Any], Callable[[float], Any], str]] = {
    "a name with a space": ("my own", _huber, _clipped, "small letters, digits and underscores"),
    "a name that is taken": ("l1", _huber, _clipped, "and not l1 or l2"),
    "not 0 at 0": ("d", lambda d: abs(d) + 1, _clipped, r"value\(0\) = 1"),
    "negative": ("d", lambda d: -abs(d), _clipped, "never negative"),
    "another slope": ("d", _huber, lambda d: 2 * _clipped(d), "slope must be the derivative of value"),
    "not finite": ("d", lambda d: 0.0 if d == 0 else math.inf, _clipped, "functions are finite"),
    "no function of a number": ("d", lambda d: d["x"], _clipped, "a function fails at 0: TypeError"),
}


@pytest.mark.parametrize(("name", "value", "slope", "says"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_registered(name: str, value: Any, slope: Any, says: str) -> None:
    with pytest.raises(SegcaffeError, match=says):
        register_distance(name, value, slope)


def test_what_numba_cannot_compile_is_told() -> None:
    def by_name(d: float) -> float:
        return float(__import__("math").fabs(d))

    register_distance("by_name", by_name, lambda d: math.copysign(1.0, d))
    found = find_distance("by_name")
    assert found is not None
    image = np.zeros((1, 2, 4, 4), np.float32)
    with pytest.raises(
        SegcaffeError, match=r"distance by_name: Numba cannot compile by_name \(Untyped global name .*math"
    ):
        kernels.forward(image, np.zeros((1, 9, 4, 4), np.float32), Window((3, 3), (1, 1), (1, 1), (1, 1)), found)
