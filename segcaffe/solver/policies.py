"""Learning rate policies: the rate as a function of the iteration.

=========== =================================================================
fixed       base_lr
step        base_lr * gamma ^ floor(iter / stepsize)
exp         base_lr * gamma ^ iter
inv         base_lr * (1 + gamma * iter) ^ (-power)
multistep   base_lr * gamma ^ (number of stepvalues reached)
poly        base_lr * (1 - iter / max_iter) ^ power
sigmoid     base_lr / (1 + exp(-gamma * (iter - stepsize)))
=========== =================================================================

Rates are rounded to float32 where Caffe rounds them, so that logged rates and trajectories agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from segcaffe.errors import PrototxtError, did_you_mean
from segcaffe.proto.caffe_pb2 import SolverParameter

Rate = Callable[[SolverParameter, int, int], float]

_REQUIRED: dict[str, tuple[str, ...]] = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power", "max_iter"),
    "sigmoid": ("gamma", "stepsize"),
}


class LearningRate:
    """The learning rate of a solver, with the one piece of state a policy can have.

    Parameters
    ----------
    param:
        The solver's options. PrototxtError names an option that its ``lr_policy`` needs and does not have.

    Attributes
    ----------
    current_step:
        How many ``stepvalue`` boundaries have been passed (multistep), or how many steps (step); part of a snapshot.
    """

    def __init__(self, param: SolverParameter) -> None:
        check_policy(param)
        self.param = param
        self.current_step = 0

    def __call__(self, iteration: int) -> float:
        """Return the rate of ``iteration``; a multistep policy passes at most one boundary per call."""
        self.current_step = self._step_at(iteration)
        return self._rate(iteration, self.current_step)

    def preview(self, iteration: int) -> float:
        """Return the rate that a call would, without passing a boundary."""
        return self._rate(iteration, self._step_at(iteration))

    def _rate(self, iteration: int, step: int) -> float:
        policy = self.param.lr_policy
        try:
            return float(np.float32(_RATES[policy](self.param, iteration, step)))
        except (ArithmeticError, ValueError) as error:
            given = ", ".join(f"{name}: {getattr(self.param, name)}" for name in ("base_lr", *_REQUIRED[policy]))
            raise PrototxtError(
                f'Solver: lr_policy "{policy}" gives no number for iteration {iteration} ({error}). Received: {given}.'
            ) from error

    def _step_at(self, iteration: int) -> int:
        param = self.param
        if param.lr_policy == "step":
            return iteration // param.stepsize
        if param.lr_policy == "multistep":
            boundaries = param.stepvalue
            passed = self.current_step < len(boundaries) and iteration >= boundaries[self.current_step]
            return self.current_step + passed
        return self.current_step


def check_policy(param: SolverParameter) -> None:
    """Raise PrototxtError unless ``lr_policy`` is known and has the options it needs."""
    policy = param.lr_policy
    if policy not in _REQUIRED:
        hint = did_you_mean(policy, _REQUIRED) or f" Known: {', '.join(_REQUIRED)}."
        received = f'"{policy}"' if param.HasField("lr_policy") else "no lr_policy"
        raise PrototxtError(f"Solver: lr_policy must name a learning rate policy. Received: {received}.{hint}")
    for option in ("base_lr", *_REQUIRED[policy]):
        given = bool(param.stepvalue) if option == "stepvalue" else param.HasField(option)
        if not given:
            raise PrototxtError(f'Solver: lr_policy "{policy}" needs {option}. Received: none; add `{option}: ...`.')
    if policy == "step" and param.stepsize <= 0:
        raise PrototxtError(f"Solver: stepsize must be positive. Received: {param.stepsize}.")
    if policy == "poly" and param.max_iter <= 0:
        raise PrototxtError(f'Solver: lr_policy "poly" needs a positive max_iter. Received: {param.max_iter}.')
    _check_boundaries(list(param.stepvalue))


def _check_boundaries(boundaries: list[int]) -> None:
    if boundaries != sorted(boundaries):
        raise PrototxtError(f"Solver: the stepvalues must not decrease. Received: {boundaries}.")


def _fixed(param: SolverParameter, iteration: int, step: int) -> float:
    return param.base_lr


def _by_steps(param: SolverParameter, iteration: int, step: int) -> float:
    return param.base_lr * math.pow(param.gamma, step)


def _exp(param: SolverParameter, iteration: int, step: int) -> float:
    return param.base_lr * math.pow(param.gamma, iteration)


def _inv(param: SolverParameter, iteration: int, step: int) -> float:
    base = np.float32(1) + np.float32(param.gamma) * np.float32(iteration)
    return param.base_lr * math.pow(base, -param.power)


def _poly(param: SolverParameter, iteration: int, step: int) -> float:
    # Beyond max_iter the base would be negative and its power not a number.
    left = np.float32(1) - np.float32(iteration) / np.float32(param.max_iter)
    return param.base_lr * math.pow(max(0.0, left), param.power)


def _sigmoid(param: SolverParameter, iteration: int, step: int) -> float:
    exponent = float(np.float32(-param.gamma) * np.float32(iteration - param.stepsize))
    return param.base_lr / (1.0 + math.exp(exponent)) if exponent < 700 else 0.0


_RATES: dict[str, Rate] = {
    "fixed": _fixed,
    "step": _by_steps,
    "exp": _exp,
    "inv": _inv,
    "multistep": _by_steps,
    "poly": _poly,
    "sigmoid": _sigmoid,
}
