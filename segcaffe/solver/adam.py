"""Adam."""

from __future__ import annotations

import math
from typing import Any

from segcaffe.errors import PrototxtError
from segcaffe.kernels import optimizer
from segcaffe.kernels.optimizer import Step
from segcaffe.solver.adam_variants import AdamVariant
from segcaffe.solver.registry import register
from segcaffe.solver.solver import Solver


@register
class AdamSolver(Solver):
    """m and v: running means of g and g^2;  w -= rate * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + delta).

    t = iter + 1; beta1 is ``momentum`` (0 unless given), beta2 is ``momentum2``. ``amsgrad``, ``rectified``,
    ``adabelief`` and ``gc`` vary it (`AdamVariant`).
    Source: Kingma, Ba: Adam: a method for stochastic optimization, 2015.
    """

    type = "Adam"
    num_histories = 2

    def check_options(self) -> None:
        """Check both momentums."""
        super().check_options()
        self.variant = AdamVariant(self.param)
        for name in ("momentum", "momentum2"):
            value = getattr(self.param, name)
            if not 0 <= value < 1:
                raise PrototxtError(f"Solver: Adam takes {name} in [0, 1). Received: {value:.6g}.")

    def update(self, weight: Any, grad: Any, history: list[Any], step: Step) -> None:
        """Renew one parameter in place."""
        beta1, beta2, t = self.param.momentum, self.param.momentum2, self.iter + 1
        if self.variant.varies:
            self.variant.update(weight, grad, history, step, t)
            return
        correction = math.sqrt(1 - beta2**t) / (1 - beta1**t)
        rate = step.rate * correction
        optimizer.adam(weight, grad, history[0], history[1], step._replace(rate=rate), beta1, beta2, self.param.delta)
