"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

from segcaffe.kernels import optimizer
from segcaffe.kernels.optimizer import Step
from segcaffe.solver.registry import register
from segcaffe.solver.schedules import warm_up_correction
from segcaffe.solver.solver import Solver


@register
class SGDSolver(Solver):
    """h = momentum * h + rate * g;  w -= h."""

    type = "SGD"

    def update(self, weight: Any, grad: Any, history: list[Any], step: Step) -> None:
        """Renew one parameter in place."""
        momentum = self.momentum * warm_up_correction(self.param, self.iter)
        optimizer.sgd(weight, grad, history[0], step, momentum)
