"""What else of an update may depend on the iteration or on the parameter: momentum, weight decay, local rates.

Of NVIDIA's Caffe are ``momentum_policy``, ``weight_decay_policy`` and ``larc``; of Intel's the correction of the
momentum while the rate warms up, and ``local_lr_auto``. A local rate follows the norms of a parameter and of its
gradient [You, Gitman, Ginsburg 2017].
"""

from __future__ import annotations

import math

import numpy as np

from segcaffe.blob import Blob
from segcaffe.device.mode import Array
from segcaffe.errors import PrototxtError, did_you_mean
from segcaffe.proto.caffe_pb2 import SolverParameter
from segcaffe.solver.policies import warm_up

_POLICIES = {
    "momentum_policy": ("fixed", "poly", "opt"),
    "weight_decay_policy": ("fixed", "poly"),
    "larc_policy": ("scale", "clip"),
}


def check_schedules(param: SolverParameter) -> None:
    """Raise PrototxtError for policies that there are not, and those that lack what they need."""
    for name, known in _POLICIES.items():
        given = getattr(param, name)
        if given not in known:
            hint = did_you_mean(given, known)
            raise PrototxtError(f'Solver: {name} is one of {", ".join(known)}. Received: "{given}".{hint}')
        if given == "poly" and param.max_iter <= 0:
            raise PrototxtError(f'Solver: {name} "poly" needs a positive max_iter. Received: {param.max_iter}.')
    if param.larc and param.local_lr_auto:
        raise PrototxtError("Solver: local rates are those of larc or of local_lr_auto. Received: both; remove one.")


def momentum_at(param: SolverParameter, iteration: int, rate: float) -> float:
    """Return the momentum of an iteration whose learning rate is ``rate``."""
    if param.momentum_policy == "poly":
        part = math.pow(iteration / param.max_iter, param.momentum_power)
        return param.momentum + (param.max_momentum - param.momentum) * part
    if param.momentum_policy == "opt":
        best = (1 - 0.5 * math.sqrt(max(0.0, rate))) ** 2
        return min(param.max_momentum, best) if param.HasField("max_momentum") else best
    return param.momentum


def warm_up_correction(param: SolverParameter, iteration: int) -> float:
    """Return the factor of the momentum by which a history keeps up with a rate that warms up."""
    if not 0 < iteration < param.warmup_iter:
        return 1.0
    before = warm_up(param, iteration - 1)
    return warm_up(param, iteration) / before if before > 0 else 1.0


def weight_decay_at(param: SolverParameter, iteration: int) -> float:
    """Return the factor of the weight decay in an iteration."""
    if param.weight_decay_policy != "poly":
        return param.weight_decay
    part = math.pow(iteration / param.max_iter, param.weight_decay_power)
    return param.weight_decay + (param.max_weight_decay - param.weight_decay) * part


def local_rate(param: SolverParameter, blob: Blob, lr_mult: float, rate: float, scale: float, momentum: float) -> float:
    """Return the rate of one parameter.

    Parameters
    ----------
    blob:
        The parameter, and its gradient before it is multiplied by ``scale``.
    lr_mult:
        Its multiplier; where rates are local it only says, by being 0, that the parameter does not learn.
    """
    if not (param.larc or param.local_lr_auto):
        return float(np.float32(rate) * np.float32(lr_mult))
    weight, grad = _norm(blob.array), _norm(blob.grad) * scale
    if not (weight > 0 and grad > 0):
        local = 1.0
    elif param.local_lr_auto:
        local = param.local_gw_ratio * weight / (grad + param.weight_decay * weight)
    else:
        local = (1 - momentum) * param.larc_eta * weight / grad
    return min(rate, local) if param.larc and param.larc_policy == "clip" else rate * local


def _norm(array: Array) -> float:
    flat = array.reshape(-1)
    return math.sqrt(float(flat.dot(flat)))
