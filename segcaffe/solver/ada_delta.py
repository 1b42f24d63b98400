"""AdaDelta."""

from __future__ import annotations

from typing import Any

from segcaffe.kernels import optimizer
from segcaffe.kernels.optimizer import Step
from segcaffe.solver.registry import register
from segcaffe.solver.solver import Solver


@register
class AdaDeltaSolver(Solver):
    """h = momentum * h + (1 - momentum) * g^2;  v = g * sqrt((s + delta) / (h + delta));  w -= rate * v.

    s is the running mean of v^2, the second history.
    Source: Zeiler: ADADELTA: an adaptive learning rate method, 2012.
    """

    type = "AdaDelta"
    num_histories = 2

    def update(self, weight: Any, grad: Any, history: list[Any], step: Step) -> None:
        """Renew one parameter in place."""
        optimizer.ada_delta(weight, grad, history[0], history[1], step, self.param.momentum, self.param.delta)
