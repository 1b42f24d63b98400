"""Element-wise maps on the CPU: compiled loops over ranges, two inputs at most read once each."""
# ruff: noqa: D103 (the contracts are in the package)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from segcaffe.jit.compiled import CONTRACT, njit
from segcaffe.kernels.vector import vector_math
from segcaffe.threads import parallel

Array = np.ndarray[Any, Any]
GRAIN = 50_000
_BLOCK = 32_768
_LOG_BLOCK = 1024
"""Logarithms taken at once as if all were of ordinary numbers, and again if one was not."""
_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=CONTRACT)


def _map(function: Callable[..., None], inputs: tuple[Array, ...], scalars: tuple[float, ...], *outputs: Array) -> None:
    """Call ``function(*inputs, *scalars, *outputs)`` over flat ranges, the scalars in the first output's dtype."""
    flat = [array.reshape(-1) for array in inputs]
    targets = [array.reshape(-1) for array in outputs]
    values = [targets[0].dtype.type(scalar) for scalar in scalars]

    def body(start: int, stop: int) -> None:
        function(*[a[start:stop] for a in flat], *values, *[t[start:stop] for t in targets])

    parallel.run(targets[0].size, body, GRAIN)


def _map_apart(function: Callable[..., None], inputs: tuple[Array, ...], scalars: tuple[float, ...], y: Array) -> None:
    """`_map` for long formulas: where the output overlaps an input, by blocks through a scratch array.

    The compiler's vector loop is left for a scalar one when an input and the output overlap.
    """
    if not any(np.may_share_memory(array, y) for array in inputs):
        _map(function, inputs, scalars, y)
        return
    flat, target = [array.reshape(-1) for array in inputs], y.reshape(-1)
    values = [y.dtype.type(scalar) for scalar in scalars]

    def body(start: int, stop: int) -> None:
        scratch = np.empty(min(_BLOCK, stop - start), y.dtype)
        for i in range(start, stop, _BLOCK):
            end = min(i + _BLOCK, stop)
            function(*[a[i:end] for a in flat], *values, scratch[: end - i])
            target[i:end] = scratch[: end - i]

    parallel.run(target.size, body, GRAIN)


def linear(x: Array, scale: float, shift: float, y: Array) -> None:
    _map(_linear, (x,), (scale, shift), y)


@_compiled
def _linear(x, scale, shift, y):
    for i in range(x.size):
        y[i] = scale * x[i] + shift


def linear_multiply(x: Array, dy: Array, scale: float, shift: float, dx: Array) -> None:
    _map(_linear_multiply, (x, dy), (scale, shift), dx)


@_compiled
def _linear_multiply(x, dy, scale, shift, dx):
    for i in range(x.size):
        dx[i] = dy[i] * (scale * x[i] + shift)


def combine(a: Array, scale_a: float, b: Array, scale_b: float, y: Array) -> None:
    _map(_combine, (a, b), (scale_a, scale_b), y)


@_compiled
def _combine(a, b, scale_a, scale_b, y):
    for i in range(a.size):
        y[i] = scale_a * a[i] + scale_b * b[i]


def multiply(a: Array, b: Array, scale: float, y: Array) -> None:
    _map(_multiply, (a, b), (scale,), y)


@_compiled
def _multiply(a, b, scale, y):
    for i in range(a.size):
        y[i] = scale * a[i] * b[i]


def multiply_sign(a: Array, x: Array, scale: float, y: Array) -> None:
    _map(_multiply_sign, (a, x), (scale,), y)


@_compiled
def _multiply_sign(a, x, scale, y):
    for i in range(a.size):
        v = scale * a[i]
        y[i] = v if x[i] > 0 else -v if x[i] < 0 else 0


def divide_multiply(a: Array, b: Array, c: Array, y: Array) -> None:
    _map(_divide_multiply, (a, b, c), (), y)


@_compiled
def _divide_multiply(a, b, c, y):
    for i in range(a.size):
        y[i] = a[i] / b[i] * c[i]


def maximum(a: Array, b: Array, index: int, y: Array, mask: Array) -> None:
    function, number = _maximum_first if index == 1 else _maximum_next, mask.dtype.type(index)
    _map(lambda a, b, y, mask: function(a, b, number, y, mask), (a, b), (), y, mask)


@_compiled
def _maximum_first(a, b, index, y, mask):
    for i in range(a.size):
        first = a[i] > b[i]
        mask[i] = 0 if first else index
        y[i] = a[i] if first else b[i]


@_compiled
def _maximum_next(a, b, index, y, mask):
    for i in range(a.size):
        next_is_greater = b[i] > a[i]
        mask[i] = index if next_is_greater else mask[i]
        y[i] = b[i] if next_is_greater else a[i]


def select(a: Array, mask: Array, index: int, y: Array) -> None:
    number = mask.dtype.type(index)
    _map(lambda a, mask, y: _select(a, mask, number, y), (a, mask), (), y)


@_compiled
def _select(a, mask, index, y):
    for i in range(a.size):
        y[i] = a[i] if mask[i] == index else 0


def absolute(x: Array, y: Array) -> None:
    _map(np.absolute, (x,), (), y)


def relu(x: Array, slope: float, y: Array) -> None:
    if slope == 0:
        _map(_relu, (x,), (0,), y)
    else:
        _map(_leaky_relu, (x,), (slope,), y)


@_compiled
def _relu(x, zero, y):
    for i in range(x.size):
        y[i] = zero if x[i] <= 0 else x[i]


@_compiled
def _leaky_relu(x, slope, y):
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 else slope * x[i]


def relu_grad(x: Array, dy: Array, slope: float, dx: Array) -> None:
    _map(_relu_grad, (x, dy), (slope,), dx)


@_compiled
def _relu_grad(x, dy, slope, dx):
    for i in range(x.size):
        dx[i] = dy[i] if x[i] > 0 else slope * dy[i]


def elu(x: Array, alpha: float, y: Array) -> None:
    _map_apart(_elu, (x,), (alpha, 1), y)


@_compiled
def _elu(x, alpha, one, y):
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 else alpha * (vector_math.exp(x[i]) - one)


def elu_grad(x: Array, dy: Array, alpha: float, dx: Array) -> None:
    _map_apart(_elu_grad, (x, dy), (alpha,), dx)


@_compiled
def _elu_grad(x, dy, alpha, dx):
    for i in range(x.size):
        dx[i] = dy[i] if x[i] > 0 else dy[i] * alpha * vector_math.exp(x[i])


def exponential(x: Array, inner: float, outer: float, y: Array) -> None:
    _map_apart(_exponential, (x,), (inner, outer), y)


@_compiled
def _exponential(x, inner, outer, y):
    for i in range(x.size):
        y[i] = outer * vector_math.exp(inner * x[i])


def logarithm(x: Array, scale: float, shift: float, outer: float, y: Array) -> None:
    _map_apart(_logarithm, (x,), (scale, shift, outer), y)


@_compiled
def _logarithm(x, scale, shift, outer, y):
    for start in range(0, x.size, _LOG_BLOCK):
        source, target = x[start : start + _LOG_BLOCK], y[start : start + _LOG_BLOCK]
        worst = np.uint32(0)
        for i in range(source.size):
            v = scale * source[i] + shift
            target[i] = outer * vector_math.log_normal(v)
            worst = max(worst, vector_math.abnormal(v))
        if worst >= vector_math.NORMAL:
            for i in range(source.size):
                target[i] = outer * vector_math.log(scale * source[i] + shift)


def reciprocal_grad(x: Array, dy: Array, scale: float, shift: float, outer: float, dx: Array) -> None:
    _map(_reciprocal_grad, (x, dy), (scale, shift, outer), dx)


@_compiled
def _reciprocal_grad(x, dy, scale, shift, outer, dx):
    for i in range(x.size):
        dx[i] = outer * dy[i] / (scale * x[i] + shift)


def power(x: Array, scale: float, shift: float, exponent: float, y: Array) -> None:
    if exponent in (2, 3, 4):
        _map(lambda x, scale, shift, y: _small_power(x, scale, shift, int(exponent), y), (x,), (scale, shift), y)
        return
    # A whole power of a negative number is a number: the power of its size, negative again if the power is odd.
    negative = math.nan if exponent % 1 else 1 - 2 * (exponent % 2)
    _map_apart(_power, (x,), (scale, shift, exponent, negative), y)


@_compiled
def _small_power(x, scale, shift, exponent, y):
    for i in range(x.size):
        v = scale * x[i] + shift
        square = v * v
        y[i] = square if exponent == 2 else square * v if exponent == 3 else square * square


@_compiled
def _power(x, scale, shift, exponent, negative, y):
    for i in range(x.size):
        v = scale * x[i] + shift
        size = vector_math.exp(exponent * vector_math.log(abs(v)))
        y[i] = size * negative if v < 0 else size


def sigmoid(x: Array, y: Array) -> None:
    _map_apart(_sigmoid, (x,), (), y)


@_compiled
def _sigmoid(x, y):
    for i in range(x.size):
        y[i] = vector_math.sigmoid(x[i])


def sigmoid_grad(y: Array, dy: Array, dx: Array) -> None:
    _map(_sigmoid_grad, (y, dy), (1,), dx)


@_compiled
def _sigmoid_grad(y, dy, one, dx):
    for i in range(y.size):
        dx[i] = dy[i] * y[i] * (one - y[i])


def tanh(x: Array, y: Array) -> None:
    _map_apart(_tanh, (x,), (), y)


@_compiled
def _tanh(x, y):
    for i in range(x.size):
        y[i] = vector_math.tanh(x[i])


def tanh_grad(y: Array, dy: Array, dx: Array) -> None:
    _map(_tanh_grad, (y, dy), (1,), dx)


@_compiled
def _tanh_grad(y, dy, one, dx):
    for i in range(y.size):
        dx[i] = dy[i] * (one - y[i] * y[i])


def swish(x: Array, beta: float, y: Array) -> None:
    _map_apart(_swish, (x,), (beta,), y)


@_compiled
def _swish(x, beta, y):
    for i in range(x.size):
        y[i] = x[i] * vector_math.sigmoid(beta * x[i])


def swish_grad(x: Array, dy: Array, beta: float, dx: Array) -> None:
    _map_apart(_swish_grad, (x, dy), (beta, 1), dx)


@_compiled
def _swish_grad(x, dy, beta, one, dx):
    for i in range(x.size):
        v = beta * x[i]
        s = vector_math.sigmoid(v)
        dx[i] = dy[i] * (s + v * s * (one - s))


def softplus(x: Array, y: Array) -> None:
    _map_apart(_softplus, (x,), (0, 1), y)


@_compiled
def _softplus(x, zero, one, y):
    for i in range(x.size):
        e = vector_math.exp(-abs(x[i]))
        # The logarithm's rounded argument is 1 + d: times e / d it keeps its digits also where e is small.
        d = (one + e) - one
        log = vector_math.log(one + e) * (e / d) if d > zero else e
        y[i] = max(x[i], zero) + log


def softplus_grad(x: Array, dy: Array, dx: Array) -> None:
    _map_apart(_softplus_grad, (x, dy), (), dx)


@_compiled
def _softplus_grad(x, dy, dx):
    for i in range(x.size):
        dx[i] = dy[i] * vector_math.sigmoid(x[i])


def clip(x: Array, low: float, high: float, y: Array) -> None:
    _map(np.clip, (x,), (low, high), y)


def clip_grad(x: Array, dy: Array, low: float, high: float, dx: Array) -> None:
    _map(_clip_grad, (x, dy), (low, high), dx)


@_compiled
def _clip_grad(x, dy, low, high, dx):
    for i in range(x.size):
        dx[i] = dy[i] if (x[i] >= low) & (x[i] <= high) else 0


def threshold(x: Array, limit: float, y: Array) -> None:
    _map(np.greater, (x,), (limit,), y)


def dropout(x: Array, seed: int, ratio: float, y: Array) -> None:
    flat, target = x.reshape(-1), y.reshape(-1)
    low, high = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32 & 0xFFFFFFFF)
    limit = np.uint32(min(round(ratio * 2**32), 2**32 - 1))
    scale = y.dtype.type(1 / (1 - ratio))

    def body(start: int, stop: int) -> None:
        first = np.uint32(start & 0xFFFFFFFF)
        _dropout(flat[start:stop], first, low, high, limit, scale, target[start:stop])

    parallel.run(target.size, body, GRAIN)


@_compiled
def _dropout(x, first, low, high, limit, scale, y):
    for i in range(x.size):
        bits = _mix(np.uint32(_mix(np.uint32(first + np.uint32(i)) ^ low) + high))
        y[i] = x[i] * scale if bits >= limit else 0


@njit(inline="always")
def _mix(bits):
    """Every bit of 32 influences every other (a two-multiplication integer hash)."""
    bits = np.uint32(bits ^ np.uint32(bits >> np.uint32(16)))
    bits = np.uint32(bits * np.uint32(0x7FEB352D))
    bits = np.uint32(bits ^ np.uint32(bits >> np.uint32(15)))
    bits = np.uint32(bits * np.uint32(0x846CA68B))
    return np.uint32(bits ^ np.uint32(bits >> np.uint32(16)))
