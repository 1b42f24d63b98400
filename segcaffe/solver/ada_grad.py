"""AdaGrad."""

from __future__ import annotations

from typing import Any

from segcaffe.errors import PrototxtError
from segcaffe.kernels import optimizer
from segcaffe.kernels.optimizer import Step
from segcaffe.solver.registry import register
from segcaffe.solver.solver import Solver


@register
class AdaGradSolver(Solver):
    """h += g^2;  w -= rate * g / (sqrt(h) + delta).

    Source: Duchi, Hazan, Singer: Adaptive subgradient methods for online learning and stochastic optimization, 2011.
    """

    type = "AdaGrad"

    def check_options(self) -> None:
        """Momentum has no place in the rule."""
        super().check_options()
        if self.param.momentum != 0:
            raise PrototxtError(f"Solver: AdaGrad takes no momentum. Received: {self.param.momentum:.6g}; remove it.")

    def update(self, weight: Any, grad: Any, history: list[Any], step: Step) -> None:
        """Renew one parameter in place."""
        optimizer.ada_grad(weight, grad, history[0], step, self.param.delta)
