"""Parameter updates: one pass per parameter over gradient, history and weight.

All arrays are contiguous, of one shape and dtype. Every kernel first forms the gradient

    g = grad * scale + l2 * weight + l1 * sign(weight)

then renews its histories, subtracts an update u from ``weight`` and leaves u in ``grad``, where Caffe leaves it.
Arithmetic is that of the arrays' dtype.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from segcaffe.kernels.dispatch import kernel

Array = Any


class Step(NamedTuple):
    """Factors of one parameter's update."""

    rate: float
    scale: float
    l2: float
    l1: float


@kernel(writes=("weight", "grad", "history"))
def sgd(weight: Array, grad: Array, history: Array, step: Step, momentum: float) -> None:
    """Stochastic gradient descent: h = momentum * h + rate * g; u = h."""


@kernel(writes=("weight", "grad", "history"))
def nesterov(weight: Array, grad: Array, history: Array, step: Step, momentum: float) -> None:
    """Nesterov's accelerated gradient: h' = momentum * h + rate * g; u = (1 + momentum) * h' - momentum * h."""


@kernel(writes=("weight", "grad", "history"))
def ada_grad(weight: Array, grad: Array, history: Array, step: Step, delta: float) -> None:
    """AdaGrad: h += g^2; u = rate * g / (sqrt(h) + delta)."""


@kernel(writes=("weight", "grad", "history"))
def rms_prop(weight: Array, grad: Array, history: Array, step: Step, rms_decay: float, delta: float) -> None:
    """RMSProp: h = rms_decay * h + (1 - rms_decay) * g^2; u = rate * g / (sqrt(h) + delta)."""


@kernel(writes=("weight", "grad", "history", "updates"))
def ada_delta(
    weight: Array, grad: Array, history: Array, updates: Array, step: Step, momentum: float, delta: float
) -> None:
    """AdaDelta: h = momentum * h + (1 - momentum) * g^2; v = g * sqrt((s + delta) / (h + delta)); u = rate * v.

    ``updates`` holds s, the running mean of v^2: s = momentum * s + (1 - momentum) * v^2.
    """


@kernel(writes=("weight", "grad", "mean", "square"))
def adam(
    weight: Array, grad: Array, mean: Array, square: Array, step: Step, beta1: float, beta2: float, delta: float
) -> None:
    """Adam: m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * g^2; u = rate * m / (sqrt(v) + delta).

    ``step.rate`` includes the correction for the start.
    """
