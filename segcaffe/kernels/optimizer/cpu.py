"""Parameter updates on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segcaffe.jit.compiled import njit
from segcaffe.kernels.optimizer import Step
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]

_GRAIN = 1 << 14


def sgd(weight: Array, grad: Array, history: Array, step: Step, momentum: float) -> None:
    _run(_sgd, (weight, grad, history), step, (momentum,))


def nesterov(weight: Array, grad: Array, history: Array, step: Step, momentum: float) -> None:
    _run(_nesterov, (weight, grad, history), step, (momentum, 1.0 + momentum))


def ada_grad(weight: Array, grad: Array, history: Array, step: Step, delta: float) -> None:
    _run(_root_mean, (weight, grad, history), step, (1.0, 1.0, delta))


def rms_prop(weight: Array, grad: Array, history: Array, step: Step, rms_decay: float, delta: float) -> None:
    _run(_root_mean, (weight, grad, history), step, (rms_decay, 1.0 - rms_decay, delta))


def ada_delta(
    weight: Array, grad: Array, history: Array, updates: Array, step: Step, momentum: float, delta: float
) -> None:
    _run(_ada_delta, (weight, grad, history, updates), step, (momentum, 1.0 - momentum, delta))


def adam(
    weight: Array, grad: Array, mean: Array, square: Array, step: Step, beta1: float, beta2: float, delta: float
) -> None:
    factors = (beta1, 1.0 - beta1, beta2, 1.0 - beta2, delta)
    _run(_adam, (weight, grad, mean, square), step, factors)


def _run(update: Callable[..., None], arrays: tuple[Array, ...], step: Step, factors: tuple[float, ...]) -> None:
    """Divide the elements among threads; factors take the arrays' dtype, lest float32 sums be made in float64."""
    flat = [array.reshape(-1) for array in arrays]
    kind = flat[0].dtype.type
    typed = Step(*map(kind, step)), *map(kind, factors)
    parallel.run(flat[0].size, lambda start, stop: update(*flat, *typed, start, stop), grain=_GRAIN)


# The loops run over slices, divide as NumPy does (no exception for zero) and have no branch: that makes vector code.


@njit(inline="always")
def _gradient(g, w, step):
    return g * step.scale + step.l2 * w + step.l1 * (np.float32(w > 0) - np.float32(w < 0))


@njit(nogil=True, cache=True, error_model="numpy")
def _sgd(weight, grad, history, step, momentum, start, stop):
    weight, grad, history = weight[start:stop], grad[start:stop], history[start:stop]
    for i in range(weight.size):
        g = _gradient(grad[i], weight[i], step)
        h = step.rate * g + momentum * history[i]
        history[i] = h
        grad[i] = h
        weight[i] -= h


@njit(nogil=True, cache=True, error_model="numpy")
def _nesterov(weight, grad, history, step, momentum, ahead, start, stop):
    weight, grad, history = weight[start:stop], grad[start:stop], history[start:stop]
    for i in range(weight.size):
        g = _gradient(grad[i], weight[i], step)
        old = history[i]
        h = step.rate * g + momentum * old
        history[i] = h
        u = ahead * h - momentum * old
        grad[i] = u
        weight[i] -= u


@njit(nogil=True, cache=True, error_model="numpy")
def _root_mean(weight, grad, history, step, keep, add, delta, start, stop):
    weight, grad, history = weight[start:stop], grad[start:stop], history[start:stop]
    for i in range(weight.size):
        g = _gradient(grad[i], weight[i], step)
        h = add * (g * g) + keep * history[i]
        history[i] = h
        u = step.rate * (g / (np.sqrt(h) + delta))
        grad[i] = u
        weight[i] -= u


@njit(nogil=True, cache=True, error_model="numpy")
def _ada_delta(weight, grad, history, updates, step, keep, add, delta, start, stop):
    weight, grad, history, updates = weight[start:stop], grad[start:stop], history[start:stop], updates[start:stop]
    for i in range(weight.size):
        g = _gradient(grad[i], weight[i], step)
        h = add * (g * g) + keep * history[i]
        history[i] = h
        v = g * np.sqrt((updates[i] + delta) / (h + delta))
        updates[i] = add * (v * v) + keep * updates[i]
        u = step.rate * v
        grad[i] = u
        weight[i] -= u


@njit(nogil=True, cache=True, error_model="numpy")
def _adam(weight, grad, mean, square, step, keep1, add1, keep2, add2, delta, start, stop):
    weight, grad, mean, square = weight[start:stop], grad[start:stop], mean[start:stop], square[start:stop]
    for i in range(weight.size):
        g = _gradient(grad[i], weight[i], step)
        m = add1 * g + keep1 * mean[i]
        v = add2 * (g * g) + keep2 * square[i]
        mean[i] = m
        square[i] = v
        u = step.rate * (m / (np.sqrt(v) + delta))
        grad[i] = u
        weight[i] -= u
