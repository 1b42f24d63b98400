"""Element-wise maps on the CPU: compiled loops over ranges, two inputs at most read once each."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from segcaffe.jit.compiled import CONTRACT, njit
from segcaffe.kernels.dispatch import in_order
from segcaffe.kernels.vector import vector_math
from segcaffe.threads import calls, parallel

Array = np.ndarray[Any, Any]
GRAIN = 50_000
_BLOCK = 32_768
_LOG_BLOCK = 1024
"""Logarithms taken at once as if all were of ordinary numbers, and again if one was not."""
_compiled = njit(nogil=True, cache=True, error_model="numpy", fastmath=CONTRACT)


def mapped(loop: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop over elements, and run it over ranges of the arrays, the last of which it writes."""
    compiled = _compiled(loop)

    @functools.wraps(loop)
    def run(*arguments: Any, **named: Any) -> None:
        _map(compiled, *in_order(loop, arguments, named))

    return run


def mapped_apart(loop: Callable[..., None]) -> Callable[..., None]:
    """`mapped` for long formulas: where the output overlaps an input, by blocks through a scratch array.

    The compiler's vector loop is left for a scalar one when an input and the output overlap.
    """
    compiled = _compiled(loop)

    def by_blocks(*arguments: Any) -> None:
        *inputs, y = arguments
        scratch = np.empty(min(_BLOCK, y.size), y.dtype)
        for i in range(0, y.size, _BLOCK):
            end = min(i + _BLOCK, y.size)
            compiled(*_parts(inputs, i, end), scratch[: end - i])
            y[i:end] = scratch[: end - i]

    @functools.wraps(loop)
    def run(*arguments: Any, **named: Any) -> None:
        *inputs, y = ordered = in_order(loop, arguments, named)
        overlaps = any(isinstance(x, np.ndarray) and np.may_share_memory(x, y) for x in inputs)
        _map(by_blocks if overlaps else compiled, *ordered)

    return run


def _map(function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function over ranges of the arrays among its arguments, the others in the last one's dtype."""
    kind = arguments[-1].dtype.type
    flat = [value.reshape(-1) if isinstance(value, np.ndarray) else kind(value) for value in arguments]
    calls.run(flat[-1].size, lambda start, stop: ((function, _parts(flat, start, stop)),), GRAIN)


def _parts(arguments: Sequence[Any], start: int, stop: int) -> tuple[Any, ...]:
    return tuple([value[start:stop] if isinstance(value, np.ndarray) else value for value in arguments])


@mapped
def linear(x, scale, shift, y):
    for i in range(x.size):
        y[i] = scale * x[i] + shift


@mapped
def linear_multiply(x, dy, scale, shift, dx):
    for i in range(x.size):
        dx[i] = dy[i] * (scale * x[i] + shift)


@mapped
def combine(a, scale_a, b, scale_b, y):
    for i in range(a.size):
        y[i] = scale_a * a[i] + scale_b * b[i]


@mapped
def multiply(a, b, scale, y):
    for i in range(a.size):
        y[i] = scale * a[i] * b[i]


@mapped
def multiply_sign(a, x, scale, y):
    for i in range(a.size):
        v = scale * a[i]
        y[i] = v if x[i] > 0 else -v if x[i] < 0 else 0


@mapped
def divide_multiply(a, b, c, y):
    for i in range(a.size):
        y[i] = a[i] / b[i] * c[i]


def maximum(a: Array, b: Array, index: int, y: Array, mask: Array) -> None:
    _map(_maximum_first if index == 1 else _maximum_next, a, b, index, y, mask)


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
    _map(lambda a, mask, y: _select(a, mask, number, y), a, mask, y)


@_compiled
def _select(a, mask, index, y):
    for i in range(a.size):
        y[i] = a[i] if mask[i] == index else 0


def absolute(x: Array, y: Array) -> None:
    _map(np.absolute, x, y)


def relu(x: Array, slope: float, y: Array) -> None:
    if slope == 0:
        _relu(x, y)
    else:
        _leaky_relu(x, slope, y)


@mapped
def _relu(x, y):
    zero = y.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] <= 0 else x[i]


@mapped
def _leaky_relu(x, slope, y):
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 else slope * x[i]


@mapped
def relu_grad(x, dy, slope, dx):
    for i in range(x.size):
        dx[i] = dy[i] if x[i] > 0 else slope * dy[i]


@mapped_apart
def elu(x, alpha, y):
    one = y.dtype.type(1)
    for i in range(x.size):
        y[i] = x[i] if x[i] > 0 else alpha * (vector_math.exp(x[i]) - one)


@mapped_apart
def elu_grad(x, dy, alpha, dx):
    for i in range(x.size):
        dx[i] = dy[i] if x[i] > 0 else dy[i] * alpha * vector_math.exp(x[i])


@mapped_apart
def exponential(x, inner, outer, y):
    for i in range(x.size):
        y[i] = outer * vector_math.exp(inner * x[i])


@mapped_apart
def logarithm(x, scale, shift, outer, y):
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


@mapped
def reciprocal_grad(x, dy, scale, shift, outer, dx):
    for i in range(x.size):
        dx[i] = outer * dy[i] / (scale * x[i] + shift)


def power(x: Array, scale: float, shift: float, exponent: float, y: Array) -> None:
    if exponent in (2, 3, 4):
        _map(lambda x, scale, shift, y: _small_power(x, scale, shift, int(exponent), y), x, scale, shift, y)
        return
    # A whole power of a negative number is a number: the power of its size, negative again if the power is odd.
    negative = math.nan if exponent % 1 else 1 - 2 * (exponent % 2)
    _power(x, scale, shift, exponent, negative, y)


@_compiled
def _small_power(x, scale, shift, exponent, y):
    for i in range(x.size):
        v = scale * x[i] + shift
        square = v * v
        y[i] = square if exponent == 2 else square * v if exponent == 3 else square * square


@mapped_apart
def _power(x, scale, shift, exponent, negative, y):
    for i in range(x.size):
        v = scale * x[i] + shift
        size = vector_math.exp(exponent * vector_math.log(abs(v)))
        y[i] = size * negative if v < 0 else size


@mapped_apart
def sigmoid(x, y):
    for i in range(x.size):
        y[i] = vector_math.sigmoid(x[i])


@mapped
def sigmoid_grad(y, dy, dx):
    one = dx.dtype.type(1)
    for i in range(y.size):
        dx[i] = dy[i] * y[i] * (one - y[i])


@mapped_apart
def tanh(x, y):
    for i in range(x.size):
        y[i] = vector_math.tanh(x[i])


@mapped
def tanh_grad(y, dy, dx):
    one = dx.dtype.type(1)
    for i in range(y.size):
        dx[i] = dy[i] * (one - y[i] * y[i])


@mapped_apart
def swish(x, beta, y):
    for i in range(x.size):
        y[i] = x[i] * vector_math.sigmoid(beta * x[i])


@mapped_apart
def swish_grad(x, dy, beta, dx):
    one = dx.dtype.type(1)
    for i in range(x.size):
        v = beta * x[i]
        s = vector_math.sigmoid(v)
        dx[i] = dy[i] * (s + v * s * (one - s))


@mapped_apart
def softplus(x, y):
    zero = y.dtype.type(0)
    one = y.dtype.type(1)
    for i in range(x.size):
        e = vector_math.exp(-abs(x[i]))
        # The logarithm's rounded argument is 1 + d: times e / d it keeps its digits also where e is small.
        d = (one + e) - one
        log = vector_math.log(one + e) * (e / d) if d > zero else e
        y[i] = max(x[i], zero) + log


@mapped_apart
def softplus_grad(x, dy, dx):
    for i in range(x.size):
        dx[i] = dy[i] * vector_math.sigmoid(x[i])


def clip(x: Array, low: float, high: float, y: Array) -> None:
    _map(np.clip, x, low, high, y)


@mapped
def clip_grad(x, dy, low, high, dx):
    for i in range(x.size):
        dx[i] = dy[i] if (x[i] >= low) & (x[i] <= high) else 0


def threshold(x: Array, limit: float, y: Array) -> None:
    _map(np.greater, x, limit, y)


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
