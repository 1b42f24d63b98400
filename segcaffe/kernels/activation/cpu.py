"""Activation functions on the CPU, in one pass over memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from segcaffe.kernels.elementwise.cpu import mapped, mapped_apart
from segcaffe.kernels.vector import vector_math

Array = np.ndarray[Any, Any]


def scaled_elu(x: Array, scale: float, alpha: float, y: Array) -> None:
    _scaled_elu(x, scale, scale * alpha, y)


@mapped_apart
def _scaled_elu(x, above, below, y):
    one = y.dtype.type(1)
    for i in range(x.size):
        y[i] = above * x[i] if x[i] > 0 else below * (vector_math.exp(x[i]) - one)


def scaled_elu_grad(x: Array, dy: Array, scale: float, alpha: float, dx: Array) -> None:
    _scaled_elu_grad(x, dy, scale, scale * alpha, dx)


@mapped_apart
def _scaled_elu_grad(x, dy, above, below, dx):
    for i in range(x.size):
        dx[i] = above * dy[i] if x[i] > 0 else below * dy[i] * vector_math.exp(x[i])


@mapped_apart
def mish(x, y):
    two, large = y.dtype.type(2), y.dtype.type(20)
    # With e = e^x, tanh(ln(1 + e)) is (e² + 2e) / (e² + 2e + 2); from 20 on it is 1.
    for i in range(x.size):
        e = vector_math.exp(min(x[i], large))
        product = e * (e + two)
        y[i] = x[i] * (product / (product + two))


@mapped_apart
def mish_grad(x, dy, dx):
    one, two, large = dx.dtype.type(1), dx.dtype.type(2), dx.dtype.type(20)
    for i in range(x.size):
        e = vector_math.exp(min(x[i], large))
        product = e * (e + two)
        t = product / (product + two)
        # 1 - t² is 4 (1 + e)² / (product + 2)²: without the difference small gradients keep their digits.
        root = two * (one + e) / (product + two)
        dx[i] = dy[i] * (t + x[i] * (e / (one + e)) * root * root)


@mapped
def hard_sigmoid(x, slope, shift, y):
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for i in range(x.size):
        y[i] = min(max(slope * x[i] + shift, zero), one)


@mapped
def hard_sigmoid_grad(x, dy, slope, shift, dx):
    for i in range(x.size):
        value = slope * x[i] + shift
        dx[i] = slope * dy[i] if (value > 0) & (value < 1) else 0


@mapped
def hard_swish(x, slope, shift, y):
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for i in range(x.size):
        y[i] = x[i] * min(max(slope * x[i] + shift, zero), one)


@mapped
def hard_swish_grad(x, dy, slope, shift, dx):
    zero, one = dx.dtype.type(0), dx.dtype.type(1)
    for i in range(x.size):
        value = slope * x[i] + shift
        rising = slope * x[i] if (value > 0) & (value < 1) else zero
        dx[i] = dy[i] * (min(max(value, zero), one) + rising)
