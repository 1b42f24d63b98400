"""Convolution on the CPU, by the method that `method` chooses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from segcaffe.kernels.convolution import loops
from segcaffe.kernels.convolution.epilogue import Epilogue
from segcaffe.kernels.convolution.method import choose, choose_gradient
from segcaffe.kernels.convolution.problem import Problem
from segcaffe.threads import parallel
from segcaffe.window import Window

Array = np.ndarray[Any, Any]


def forward(
    x: Array,
    weight: Array,
    bias: Array | None,
    out: Array,
    window: Window,
    group: int = 1,
    scale: Array | None = None,
    negative_slope: float | Array = 1.0,
    addend: Array | None = None,
) -> None:
    """Compute the convolution; see the contract."""
    problem = Problem.forward(x.shape, weight.shape, out.shape, window, group, x.itemsize)
    choose(problem).run(x, weight, Epilogue(scale, bias, negative_slope, addend), out)


def backward_data(
    grad_out: Array,
    weight: Array,
    grad_x: Array,
    window: Window,
    group: int = 1,
    bias: Array | None = None,
    scale: Array | None = None,
    negative_slope: float | Array = 1.0,
) -> None:
    """Overwrite ``grad_x``; see the contract."""
    problem = Problem.forward(grad_x.shape, weight.shape, grad_out.shape, window, group, grad_x.itemsize)
    choose(problem.for_data()).run(grad_out, weight, Epilogue(scale, bias, negative_slope), grad_x)


def backward_weight(
    x: Array,
    grad_out: Array,
    grad_weight: Array,
    grad_bias: Array | None,
    window: Window,
    group: int = 1,
    beta: float = 1.0,
) -> None:
    """Add to ``grad_weight`` and ``grad_bias``; see the contract."""
    problem = Problem.forward(x.shape, grad_weight.shape, grad_out.shape, window, group, x.itemsize)
    method = choose_gradient(problem.for_weight())
    if beta == 0 and not method.overwrites:
        grad_weight[...] = 0
    method.run(x, grad_out, grad_weight, grad_bias, beta)
    if grad_bias is not None and not method.adds_bias:
        backward_bias(grad_out, grad_bias)


def backward_bias(grad_out: Array, grad_bias: Array) -> None:
    """Add to ``grad_bias``; see the contract."""
    images, channels = grad_out.shape[:2]
    pixels = math.prod(grad_out.shape[2:])

    def part(start: int, stop: int) -> None:
        loops.channel_sums(grad_out.reshape(-1), grad_bias, images, channels, pixels, start, stop)

    parallel.run_cycles(channels, float(grad_out.size), part)
