"""Activation functions on the CPU, in one pass over memory."""
# ruff: noqa: D103 (the contracts are in the package)

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.jit.compiled import CONTRACT, njit
from segcaffe.kernels.elementwise.cpu import _map, _map_apart
from segcaffe.kernels.vector import vector_math

Array = np.ndarray[Any, Any]
_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=CONTRACT)


def scaled_elu(x: Array, scale: float, alpha: float, y: Array) -> None:
    _map_apart(_scaled_elu, (x,), (scale, scale * alpha, 1), y)


@_compiled
def _scaled_elu(x, above, below, one, y):
    for i in range(x.size):
        y[i] = above * x[i] if x[i] > 0 else below * (vector_math.exp(x[i]) - one)


def scaled_elu_grad(x: Array, dy: Array, scale: float, alpha: float, dx: Array) -> None:
    _map_apart(_scaled_elu_grad, (x, dy), (scale, scale * alpha), dx)


@_compiled
def _scaled_elu_grad(x, dy, above, below, dx):
    for i in range(x.size):
        dx[i] = above * dy[i] if x[i] > 0 else below * dy[i] * vector_math.exp(x[i])


def mish(x: Array, y: Array) -> None:
    _map_apart(_mish, (x,), (2, 20), y)


@_compiled
def _mish(x, two, large, y):
    # With e = e^x, tanh(ln(1 + e)) is (e² + 2e) / (e² + 2e + 2); from 20 on it is 1.
    for i in range(x.size):
        e = vector_math.exp(min(x[i], large))
        product = e * (e + two)
        y[i] = x[i] * (product / (product + two))


def mish_grad(x: Array, dy: Array, dx: Array) -> None:
    _map_apart(_mish_grad, (x, dy), (1, 2, 20), dx)


@_compiled
def _mish_grad(x, dy, one, two, large, dx):
    for i in range(x.size):
        e = vector_math.exp(min(x[i], large))
        product = e * (e + two)
        t = product / (product + two)
        # 1 - t² is 4 (1 + e)² / (product + 2)²: without the difference small gradients keep their digits.
        root = two * (one + e) / (product + two)
        dx[i] = dy[i] * (t + x[i] * (e / (one + e)) * root * root)


def hard_sigmoid(x: Array, slope: float, shift: float, y: Array) -> None:
    _map(_hard_sigmoid, (x,), (slope, shift, 0, 1), y)


@_compiled
def _hard_sigmoid(x, slope, shift, zero, one, y):
    for i in range(x.size):
        y[i] = min(max(slope * x[i] + shift, zero), one)


def hard_sigmoid_grad(x: Array, dy: Array, slope: float, shift: float, dx: Array) -> None:
    _map(_hard_sigmoid_grad, (x, dy), (slope, shift), dx)


@_compiled
def _hard_sigmoid_grad(x, dy, slope, shift, dx):
    for i in range(x.size):
        value = slope * x[i] + shift
        dx[i] = slope * dy[i] if (value > 0) & (value < 1) else 0


def hard_swish(x: Array, slope: float, shift: float, y: Array) -> None:
    _map(_hard_swish, (x,), (slope, shift, 0, 1), y)


@_compiled
def _hard_swish(x, slope, shift, zero, one, y):
    for i in range(x.size):
        y[i] = x[i] * min(max(slope * x[i] + shift, zero), one)


def hard_swish_grad(x: Array, dy: Array, slope: float, shift: float, dx: Array) -> None:
    _map(_hard_swish_grad, (x, dy), (slope, shift, 0, 1), dx)


@_compiled
def _hard_swish_grad(x, dy, slope, shift, zero, one, dx):
    for i in range(x.size):
        value = slope * x[i] + shift
        rising = slope * x[i] if (value > 0) & (value < 1) else zero
        dx[i] = dy[i] * (min(max(value, zero), one) + rising)
