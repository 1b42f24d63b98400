"""Learning rate policies: the rate as a function of the iteration.

=========== =================================================================
fixed       base_lr
step        base_lr * gamma ^ floor(iter / stepsize)
exp         base_lr * gamma ^ iter
inv         base_lr * (1 + gamma * iter) ^ (-power)
multistep   base_lr * gamma ^ (number of stepvalues reached)
poly        base_lr * (1 - iter / max_iter) ^ power
sigmoid     base_lr / (1 + exp(-gamma * (iter - stepsize)))
plateau     base_lr * gamma ^ (number of plateaus of the loss)             [SSD]
multifixed  the stagelr of the first stage whose stageiter is not passed   [YOLO]
sgdr        from base_lr to min_lr along a cosine, again and again   [DeepDetect]
=========== =================================================================

Before them the rate may rise: from ``warmup_start_lr`` on, along a line, in ``warmup_iter`` iterations (Intel's Caffe);
from ``rampup_lr`` on, along a parabola, in ``rampup_interval`` iterations (NVIDIA's). ``min_lr`` is the least rate of
any policy, and the one that poly ends at.

Rates are rounded to float32 where Caffe rounds them, so that logged rates and trajectories agree.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import numpy as np

from segcaffe.errors import PrototxtError, did_you_mean
from segcaffe.proto.caffe_pb2 import SolverParameter

_log = logging.getLogger("segcaffe")
NO_LOSS = float(np.finfo(np.float32).max)
"""The least loss before there was any."""
Rate = Callable[[SolverParameter, int, int], float]

_REQUIRED: dict[str, tuple[str, ...]] = {
    "fixed": (),
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power", "max_iter"),
    "sigmoid": ("gamma", "stepsize"),
    "plateau": ("gamma", "plateau_winsize"),
    "multifixed": ("stagelr", "stageiter"),
    "sgdr": ("period",),
}
_LEAST_OF_SGDR = 1e-6


class LearningRate:
    """The learning rate of a solver, with the one piece of state a policy can have.

    Parameters
    ----------
    param:
        The solver's options. PrototxtError names an option that its ``lr_policy`` needs and does not have.

    Attributes
    ----------
    current_step:
        How many ``stepvalue`` boundaries have been passed (multistep), how many steps (step) or plateaus; part of a
        snapshot.
    minimum_loss, iter_last_event:
        Of plateau: the least loss so far, and the iteration of it, or that at which the rate last fell.
    """

    def __init__(self, param: SolverParameter) -> None:
        check_policy(param)
        self.param = param
        self.current_step = 0
        self.minimum_loss = NO_LOSS
        self.iter_last_event = 0

    def __call__(self, iteration: int, loss: float = math.inf) -> float:
        """Return the rate of ``iteration``, in which the loss came to ``loss``, averaged as it is shown.

        A multistep policy passes at most one boundary per call, and plateau sees at most one plateau.
        """
        if self.param.lr_policy == "plateau":
            self._look_at_loss(iteration, loss)
        self.current_step = self._step_at(iteration)
        return self._rate(iteration, self.current_step)

    def _look_at_loss(self, iteration: int, loss: float) -> None:
        """Fall by a step where the loss has not fallen for as many iterations as the step's window."""
        if is_warming_up(self.param, iteration):
            return
        if loss < self.minimum_loss:
            self.minimum_loss, self.iter_last_event = float(np.float32(loss)), iteration
        windows = self.param.plateau_winsize
        if self.current_step < len(windows) and iteration >= self.iter_last_event + windows[self.current_step]:
            self.current_step += 1
            self.iter_last_event = iteration
            _log.info("Plateau Status: Iteration %d, step = %d", iteration, self.current_step)

    def resume(self, current_step: int, minimum_loss: float | None, iter_last_event: int) -> None:
        """Go on from what a snapshot kept."""
        self.current_step = current_step
        self.minimum_loss = NO_LOSS if minimum_loss is None else minimum_loss
        self.iter_last_event = iter_last_event

    def preview(self, iteration: int) -> float:
        """Return the rate that a call would, without passing a boundary."""
        return self._rate(iteration, self._step_at(iteration))

    def _rate(self, iteration: int, step: int) -> float:
        policy = self.param.lr_policy
        try:
            if is_warming_up(self.param, iteration):
                return float(np.float32(warm_up(self.param, iteration)))
            rate = _RATES[policy](self.param, iteration, step)
            return float(np.float32(max(rate, self.param.min_lr) if self.param.min_lr > 0 else rate))
        except (ArithmeticError, ValueError) as error:
            given = ", ".join(f"{name}: {getattr(self.param, name)}" for name in ("base_lr", *_REQUIRED[policy]))
            raise PrototxtError(
                f'Solver: lr_policy "{policy}" gives no number for iteration {iteration} ({error}). Received: {given}.'
            ) from error

    def _step_at(self, iteration: int) -> int:
        param = self.param
        if param.lr_policy == "step":
            return iteration // param.stepsize
        if param.lr_policy == "multistep" and not is_warming_up(param, iteration):
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
        if policy == "multifixed" and option == "base_lr":
            continue
        if not _is_given(param, option):
            raise PrototxtError(f'Solver: lr_policy "{policy}" needs {option}. Received: none; add `{option}: ...`.')
    if policy == "step" and param.stepsize <= 0:
        raise PrototxtError(f"Solver: stepsize must be positive. Received: {param.stepsize}.")
    if policy == "poly" and param.max_iter <= 0:
        raise PrototxtError(f'Solver: lr_policy "poly" needs a positive max_iter. Received: {param.max_iter}.')
    _check_boundaries(list(param.stepvalue))
    _check_numbers(param)


def _is_given(param: SolverParameter, option: str) -> bool:
    field = param.DESCRIPTOR.fields_by_name[option]
    return bool(getattr(param, option)) if field.is_repeated else param.HasField(option)


def _check_numbers(param: SolverParameter) -> None:
    """Check what forks' policies need of their options."""
    policy = param.lr_policy
    if policy == "multifixed" and len(param.stagelr) != len(param.stageiter):
        received = f"{len(param.stagelr)} and {len(param.stageiter)}"
        raise PrototxtError(f'Solver: lr_policy "multifixed" needs as many stagelr as stageiter. Received: {received}.')
    if policy == "sgdr" and not (param.period > 0 and param.p_mult >= 1):
        received = f"period: {param.period}, p_mult: {param.p_mult:g}"
        raise PrototxtError(f"Solver: period must be positive, and p_mult at least 1. Received: {received}.")
    if policy == "poly" and param.min_lr > param.base_lr:
        raise PrototxtError(
            f"Solver: min_lr must not be above base_lr. Received: {param.min_lr:g} and {param.base_lr:g}."
        )
    for name in ("warmup_iter", "rampup_interval", "min_lr", "warmup_start_lr", "rampup_lr"):
        if getattr(param, name) < 0:
            raise PrototxtError(f"Solver: {name} must not be negative. Received: {getattr(param, name):g}.")


def is_warming_up(param: SolverParameter, iteration: int) -> bool:
    """Whether the rate still rises to where the policy begins."""
    return iteration < max(param.warmup_iter, param.rampup_interval)


def warm_up(param: SolverParameter, iteration: int) -> float:
    """Return the rate of an iteration in which it rises."""
    if iteration < param.warmup_iter:
        rising = iteration * param.base_lr + (param.warmup_iter - iteration) * param.warmup_start_lr
        return rising / param.warmup_iter
    part = iteration / param.rampup_interval
    return param.rampup_lr + (param.base_lr - param.rampup_lr) * part * part


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
    factor = math.pow(max(0.0, left), param.power)
    return (param.base_lr - param.min_lr) * factor + param.min_lr if param.min_lr > 0 else param.base_lr * factor


def _sigmoid(param: SolverParameter, iteration: int, step: int) -> float:
    exponent = float(np.float32(-param.gamma) * np.float32(iteration - param.stepsize))
    return param.base_lr / (1.0 + math.exp(exponent)) if exponent < 700 else 0.0


def _multifixed(param: SolverParameter, iteration: int, step: int) -> float:
    stages = zip(param.stagelr, param.stageiter, strict=True)
    return next((rate for rate, end in stages if iteration <= end), param.stagelr[-1])


def _sgdr(param: SolverParameter, iteration: int, step: int) -> float:
    """Loshchilov, Hutter 2016: each period is ``p_mult`` times as long, and begins at ``lr_mult`` times the rate."""
    start, period, highest = 0, param.period, param.base_lr
    while iteration >= start + period:
        start += period
        period = max(1, int(period * param.p_mult))
        highest *= param.lr_mult
    least = param.min_lr if param.HasField("min_lr") else _LEAST_OF_SGDR
    return least + 0.5 * (highest - least) * (1 + math.cos(math.pi * (iteration - start) / period))


_RATES: dict[str, Rate] = {
    "fixed": _fixed,
    "step": _by_steps,
    "exp": _exp,
    "inv": _inv,
    "multistep": _by_steps,
    "poly": _poly,
    "sigmoid": _sigmoid,
    "plateau": _by_steps,
    "multifixed": _multifixed,
    "sgdr": _sgdr,
}
