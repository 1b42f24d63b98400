"""Activation functions on the GPU."""

from __future__ import annotations

from functools import partial
from typing import Any

from segcaffe.kernels.cuda.compile import launch

Array = Any
_run = partial(launch, "activation")


def scaled_elu(x: Array, scale: float, alpha: float, y: Array) -> None:
    _run("scaled_elu", y.size, x, scale, scale * alpha, y, y.size)


def scaled_elu_grad(x: Array, dy: Array, scale: float, alpha: float, dx: Array) -> None:
    _run("scaled_elu_grad", dx.size, x, dy, scale, scale * alpha, dx, dx.size)


def mish(x: Array, y: Array) -> None:
    _run("mish", y.size, x, y, y.size)


def mish_grad(x: Array, dy: Array, dx: Array) -> None:
    _run("mish_grad", dx.size, x, dy, dx, dx.size)


def hard_sigmoid(x: Array, slope: float, shift: float, y: Array) -> None:
    _run("hard_sigmoid", y.size, x, slope, shift, y, y.size)


def hard_sigmoid_grad(x: Array, dy: Array, slope: float, shift: float, dx: Array) -> None:
    _run("hard_sigmoid_grad", dx.size, x, dy, slope, shift, dx, dx.size)


def hard_swish(x: Array, slope: float, shift: float, y: Array) -> None:
    _run("hard_swish", y.size, x, slope, shift, y, y.size)


def hard_swish_grad(x: Array, dy: Array, slope: float, shift: float, dx: Array) -> None:
    _run("hard_swish_grad", dx.size, x, dy, slope, shift, dx, dx.size)
