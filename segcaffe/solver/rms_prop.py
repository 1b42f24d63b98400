"""RMSProp."""

from __future__ import annotations

from typing import Any

from segcaffe.errors import PrototxtError
from segcaffe.kernels import optimizer
from segcaffe.kernels.optimizer import Step
from segcaffe.solver.registry import register
from segcaffe.solver.solver import Solver

_DEFAULT_DECAY = 0.99


@register
class RMSPropSolver(Solver):
    """h = rms_decay * h + (1 - rms_decay) * g^2;  w -= rate * g / (sqrt(h) + delta).

    ``rms_decay`` is 0.99 unless given, as in upstream Caffe.
    Source: Tieleman, Hinton: RMSProp, COURSERA: Neural Networks for Machine Learning, lecture 6.5, 2012.
    """

    type = "RMSProp"

    def check_options(self) -> None:
        """Momentum has no place in the rule; the decay lies in [0, 1)."""
        super().check_options()
        if self.param.momentum != 0:
            raise PrototxtError(f"Solver: RMSProp takes no momentum. Received: {self.param.momentum:.6g}; remove it.")
        if not 0 <= self.param.rms_decay < 1:
            raise PrototxtError(f"Solver: rms_decay must lie in [0, 1). Received: {self.param.rms_decay:.6g}.")

    def update(self, weight: Any, grad: Any, history: list[Any], step: Step) -> None:
        """Renew one parameter in place."""
        given = self.param.HasField("rms_decay")
        decay = self.param.rms_decay if given else _DEFAULT_DECAY
        optimizer.rms_prop(weight, grad, history[0], step, decay, self.param.delta)
