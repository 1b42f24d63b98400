"""Parameter updates on the GPU."""

from __future__ import annotations

from typing import Any

from segcaffe.kernels.cuda.compile import launch
from segcaffe.kernels.optimizer import Step

Array = Any


def sgd(weight: Array, grad: Array, history: Array, step: Step, momentum: float) -> None:
    _run("sgd", (weight, grad, history), *step, momentum)


def nesterov(weight: Array, grad: Array, history: Array, step: Step, momentum: float) -> None:
    _run("nesterov", (weight, grad, history), *step, momentum, 1.0 + momentum)


def ada_grad(weight: Array, grad: Array, history: Array, step: Step, delta: float) -> None:
    _run("root_mean", (weight, grad, history), *step, 1.0, 1.0, delta)


def rms_prop(weight: Array, grad: Array, history: Array, step: Step, rms_decay: float, delta: float) -> None:
    _run("root_mean", (weight, grad, history), *step, rms_decay, 1.0 - rms_decay, delta)


def ada_delta(
    weight: Array, grad: Array, history: Array, updates: Array, step: Step, momentum: float, delta: float
) -> None:
    _run("ada_delta", (weight, grad, history, updates), *step, momentum, 1.0 - momentum, delta)


def adam(
    weight: Array, grad: Array, mean: Array, square: Array, step: Step, beta1: float, beta2: float, delta: float
) -> None:
    _run("adam", (weight, grad, mean, square), *step, beta1, 1.0 - beta1, beta2, 1.0 - beta2, delta)


def _run(function: str, arrays: tuple[Array, ...], *factors: float) -> None:
    launch("optimizer", function, arrays[0].size, *arrays, *factors, arrays[0].size)
