"""The update kernels against each rule written down in NumPy, on several steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segcaffe.kernels import optimizer
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
RATE, SCALE, MOMENTUM, DELTA = 0.02, 0.25, 0.9, 1e-3


def sgd(g: Array, h: list[Array]) -> Array:
    h[0] = MOMENTUM * h[0] + RATE * g
    return h[0]


def nesterov(g: Array, h: list[Array]) -> Array:
    old = h[0]
    h[0] = MOMENTUM * old + RATE * g
    return (1 + MOMENTUM) * h[0] - MOMENTUM * old


def ada_grad(g: Array, h: list[Array]) -> Array:
    h[0] = h[0] + g**2
    return RATE * g / (np.sqrt(h[0]) + DELTA)


def rms_prop(g: Array, h: list[Array]) -> Array:
    h[0] = 0.95 * h[0] + 0.05 * g**2
    return RATE * g / (np.sqrt(h[0]) + DELTA)


def ada_delta(g: Array, h: list[Array]) -> Array:
    h[0] = MOMENTUM * h[0] + (1 - MOMENTUM) * g**2
    value = g * np.sqrt((h[1] + DELTA) / (h[0] + DELTA))
    h[1] = MOMENTUM * h[1] + (1 - MOMENTUM) * value**2
    return RATE * value


def adam(g: Array, h: list[Array]) -> Array:
    h[0] = MOMENTUM * h[0] + (1 - MOMENTUM) * g
    h[1] = 0.99 * h[1] + (1 - 0.99) * g**2
    return RATE * h[0] / (np.sqrt(h[1]) + DELTA)


RULES: list[tuple[Callable[..., Array], int, tuple[float, ...]]] = [
    (sgd, 1, (MOMENTUM,)),
    (nesterov, 1, (MOMENTUM,)),
    (ada_grad, 1, (DELTA,)),
    (rms_prop, 1, (0.95, DELTA)),
    (ada_delta, 2, (MOMENTUM, DELTA)),
    (adam, 2, (MOMENTUM, 0.99, DELTA)),
]


@pytest.mark.parametrize("decay", [(0.0, 0.0), (0.1, 0.0), (0.0, 0.1)], ids=["none", "L2", "L1"])
@pytest.mark.parametrize(("rule", "histories", "options"), RULES, ids=[rule.__name__ for rule, _, _ in RULES])
@pytest.mark.parametrize("size", [0, 1, 100_003])
def test_rule(rule: Any, histories: int, options: Any, decay: tuple[float, float], size: int) -> None:
    rng = np.random.default_rng(size)
    weight = rng.standard_normal(size).astype(np.float32)
    weight[::5] = 0  # sign(0) = 0
    stored = [np.zeros(size, np.float32) for _ in range(histories)]
    w, h = weight.astype(np.float64), [values.astype(np.float64) for values in stored]
    for _ in range(3):
        grad = rng.standard_normal(size).astype(np.float32)
        g = grad * SCALE + decay[0] * w + decay[1] * np.sign(w)
        u = rule(g, h)
        w = w - u
        getattr(optimizer, rule.__name__)(weight, grad, *stored, optimizer.Step(RATE, SCALE, *decay), *options)
        # Rounding of g (6e-8 of it) is magnified by RATE / DELTA where the histories are small.
        np.testing.assert_allclose(grad, u, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(weight, w, rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(stored, h, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize(("rule", "histories", "options"), RULES, ids=[rule.__name__ for rule, _, _ in RULES])
def test_number_of_threads_changes_nothing(rule: Any, histories: int, options: Any) -> None:
    results = []
    before = parallel.num_threads()
    for threads in (1, 3):
        parallel.set_num_threads(threads)
        arrays = np.random.default_rng(1).random((2 + histories, 200_001)).astype(np.float32)
        getattr(optimizer, rule.__name__)(*arrays, optimizer.Step(RATE, SCALE, 0.1, 0.0), *options)
        results.append(arrays)
    parallel.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def test_float64_stays_float64() -> None:
    weight, grad, history = (np.full((2, 3), value) for value in (1.0, 1e-12, 0.0))
    optimizer.sgd(weight, grad, history, optimizer.Step(1.0, 1.0, 0.0, 0.0), 0.0)
    assert weight[0, 0] == 1 - 1e-12
