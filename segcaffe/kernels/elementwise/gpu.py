"""Element-wise maps on the GPU."""
# ruff: noqa: D103 (the contracts are in the package)

from __future__ import annotations

from functools import partial
from typing import Any

from segcaffe.kernels.cuda.compile import launch

Array = Any
_run = partial(launch, "elementwise")


def linear(x: Array, scale: float, shift: float, y: Array) -> None:
    _run("linear", y.size, x, scale, shift, y, y.size)


def linear_multiply(x: Array, dy: Array, scale: float, shift: float, dx: Array) -> None:
    _run("linear_multiply", dx.size, x, dy, scale, shift, dx, dx.size)


def combine(a: Array, scale_a: float, b: Array, scale_b: float, y: Array) -> None:
    _run("combine", y.size, a, scale_a, b, scale_b, y, y.size)


def multiply(a: Array, b: Array, scale: float, y: Array) -> None:
    _run("multiply", y.size, a, b, scale, y, y.size)


def multiply_sign(a: Array, x: Array, scale: float, y: Array) -> None:
    _run("multiply_sign", y.size, a, x, scale, y, y.size)


def divide_multiply(a: Array, b: Array, c: Array, y: Array) -> None:
    _run("divide_multiply", y.size, a, b, c, y, y.size)


def maximum(a: Array, b: Array, index: int, y: Array, mask: Array) -> None:
    _run(f"maximum{_many(mask)}", y.size, a, b, index, y, mask, y.size)


def select(a: Array, mask: Array, index: int, y: Array) -> None:
    _run(f"select{_many(mask)}", y.size, a, mask, index, y, y.size)


def absolute(x: Array, y: Array) -> None:
    _run("absolute", y.size, x, y, y.size)


def relu(x: Array, slope: float, y: Array) -> None:
    _run("relu", y.size, x, slope, y, y.size)


def relu_grad(x: Array, dy: Array, slope: float, dx: Array) -> None:
    _run("relu_grad", dx.size, x, dy, slope, dx, dx.size)


def elu(x: Array, alpha: float, y: Array) -> None:
    _run("elu", y.size, x, alpha, y, y.size)


def elu_grad(x: Array, dy: Array, alpha: float, dx: Array) -> None:
    _run("elu_grad", dx.size, x, dy, alpha, dx, dx.size)


def exponential(x: Array, inner: float, outer: float, y: Array) -> None:
    _run("exponential", y.size, x, inner, outer, y, y.size)


def logarithm(x: Array, scale: float, shift: float, outer: float, y: Array) -> None:
    _run("logarithm", y.size, x, scale, shift, outer, y, y.size)


def reciprocal_grad(x: Array, dy: Array, scale: float, shift: float, outer: float, dx: Array) -> None:
    _run("reciprocal_grad", dx.size, x, dy, scale, shift, outer, dx, dx.size)


def power(x: Array, scale: float, shift: float, exponent: float, y: Array) -> None:
    _run("power", y.size, x, scale, shift, exponent, y, y.size)


def sigmoid(x: Array, y: Array) -> None:
    _run("sigmoid", y.size, x, y, y.size)


def sigmoid_grad(y: Array, dy: Array, dx: Array) -> None:
    _run("sigmoid_grad", dx.size, y, dy, dx, dx.size)


def tanh(x: Array, y: Array) -> None:
    _run("hyperbolic", y.size, x, y, y.size)


def tanh_grad(y: Array, dy: Array, dx: Array) -> None:
    _run("tanh_grad", dx.size, y, dy, dx, dx.size)


def swish(x: Array, beta: float, y: Array) -> None:
    _run("swish", y.size, x, beta, y, y.size)


def swish_grad(x: Array, dy: Array, beta: float, dx: Array) -> None:
    _run("swish_grad", dx.size, x, dy, beta, dx, dx.size)


def softplus(x: Array, y: Array) -> None:
    _run("softplus", y.size, x, y, y.size)


def softplus_grad(x: Array, dy: Array, dx: Array) -> None:
    _run("softplus_grad", dx.size, x, dy, dx, dx.size)


def clip(x: Array, low: float, high: float, y: Array) -> None:
    _run("clip", y.size, x, low, high, y, y.size)


def clip_grad(x: Array, dy: Array, low: float, high: float, dx: Array) -> None:
    _run("clip_grad", dx.size, x, dy, low, high, dx, dx.size)


def threshold(x: Array, limit: float, y: Array) -> None:
    _run("threshold", y.size, x, limit, y, y.size)


def dropout(x: Array, seed: int, ratio: float, y: Array) -> None:
    low, high = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    limit = min(round(ratio * 2**32), 2**32 - 1)
    _run("dropout", y.size, x, low, high, limit, 1 / (1 - ratio), y, y.size)


def _many(mask: Array) -> str:
    """Which of two functions: for masks of one byte, or of four where there are many arrays to tell apart."""
    return "" if mask.dtype.itemsize == 1 else "_of_many"
