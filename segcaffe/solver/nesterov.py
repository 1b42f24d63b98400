"""Nesterov's accelerated gradient."""

from __future__ import annotations

from typing import Any

from segcaffe.kernels import optimizer
from segcaffe.kernels.optimizer import Step
from segcaffe.solver.registry import register
from segcaffe.solver.solver import Solver


@register
class NesterovSolver(Solver):
    """h' = momentum * h + rate * g;  w -= (1 + momentum) * h' - momentum * h.

    Source: Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum in deep learning, 2013.
    """

    type = "Nesterov"

    def update(self, weight: Any, grad: Any, history: list[Any], step: Step) -> None:
        """Renew one parameter in place."""
        optimizer.nesterov(weight, grad, history[0], step, self.momentum)
