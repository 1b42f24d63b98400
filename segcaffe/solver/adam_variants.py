"""Adam as DeepDetect's Caffe varies it, by options of the solver that may be combined.

Sources: AMSGrad: Reddi, Kale, Kumar, ICLR 2018; rectified: Liu et al., ICLR 2020; AdaBelief: Zhuang et al., NeurIPS
2020; gradient centralization: Yong et al., ECCV 2020.
"""

from __future__ import annotations

import math
from typing import Any

from segcaffe import device
from segcaffe.kernels.optimizer import Step
from segcaffe.proto.caffe_pb2 import SolverParameter

Array = Any
_SURE = 4.0
"""The length of the running mean of squares from which on its variance is known, as the paper of RAdam has it."""


class AdamVariant:
    """What differs from Adam: an update in the arithmetic of arrays.

    ``amsgrad``: v never falls. ``rectified``, where it is set: without v in the first steps, and less than Adam's
    afterwards. ``adabelief``: v is the running mean of (g - m)^2 + delta. ``gc``: of weights of two axes or more the
    mean over all but the first is taken away from g.
    """

    def __init__(self, param: SolverParameter) -> None:
        self.largest, self.belief, self.centered = param.amsgrad, param.adabelief, param.gc
        # DeepDetect's default is true; a solver without the option is an Adam of all other Caffes.
        self.rectified = param.HasField("rectified") and param.rectified
        self.beta1, self.beta2, self.delta = param.momentum, param.momentum2, param.delta

    @property
    def varies(self) -> bool:
        """Whether it is something else than Adam."""
        return self.largest or self.belief or self.centered or self.rectified

    def update(self, weight: Array, grad: Array, history: list[Array], step: Step, t: int) -> None:
        """Renew one parameter in place, as Adam does, in step number ``t``, from 1 on; the update stays in ``grad``."""
        xp, (mean, square) = device.xp(), history[:2]
        grad *= grad.dtype.type(step.scale)
        if step.l2:
            grad += weight * grad.dtype.type(step.l2)
        if step.l1:
            grad += xp.sign(weight) * grad.dtype.type(step.l1)
        if self.centered and grad.ndim > 1:
            grad -= grad.mean(axis=tuple(range(1, grad.ndim)), keepdims=True)
        mean *= grad.dtype.type(self.beta1)
        mean += grad * grad.dtype.type(1 - self.beta1)
        part = (grad - mean if self.belief else grad) ** 2
        renewed = square * grad.dtype.type(self.beta2) + part * grad.dtype.type(1 - self.beta2)
        if self.belief:
            renewed += grad.dtype.type(self.delta)
        square[...] = xp.maximum(square, renewed) if self.largest else renewed
        factor, divides = self._factor(t)
        grad[...] = mean
        if divides:
            grad /= xp.sqrt(square) + grad.dtype.type(self.delta)
        grad *= grad.dtype.type(step.rate * factor)
        weight -= grad

    def _factor(self, t: int) -> tuple[float, bool]:
        """The factor of step ``t``, and whether it is divided by the root of v."""
        start, start_of_square = 1 - self.beta1**t, 1 - self.beta2**t
        plain = math.sqrt(start_of_square) / start
        if not self.rectified:
            return plain, True
        longest = 2 / (1 - self.beta2) - 1
        length = longest - 2 * t * self.beta2**t / start_of_square
        if length <= _SURE:
            return 1 / start, False
        ratio = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
        return plain * math.sqrt(ratio), True
