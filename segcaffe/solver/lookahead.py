"""Lookahead: weights that follow those of any solver, a part of the way every few steps.

Source: Zhang, Lucas, Hinton, Ba: Lookahead optimizer: k steps forward, 1 step back, NeurIPS 2019.
"""

from __future__ import annotations

from typing import Any

from segcaffe.errors import PrototxtError
from segcaffe.proto.caffe_pb2 import SolverParameter

Array = Any


class Lookahead:
    """Every ``lookahead_steps`` updates the weights become slow + ``lookahead_alpha`` (weights - slow), and slow those.

    The slow weights are the last history of each parameter, so that a run goes on within its steps; nothing happens
    without ``lookahead: true``, or with 0 steps.
    """

    def __init__(self, param: SolverParameter) -> None:
        self.steps = param.lookahead_steps if param.lookahead else 0
        self.alpha = param.lookahead_alpha
        if self.steps < 0 or not 0 <= self.alpha <= 1:
            raise PrototxtError(
                "Solver: lookahead_steps must be at least 0, and lookahead_alpha in [0, 1]. Received: "
                f"{self.steps} and {self.alpha:.6g}."
            )

    @property
    def histories(self) -> int:
        """How many histories it takes."""
        return int(self.steps > 0)

    def before(self, weight: Array, histories: list[Array], iteration: int) -> None:
        """Keep the weights that the steps begin with."""
        if self.steps and iteration % self.steps == 0:
            histories[-1][...] = weight

    def after(self, weight: Array, histories: list[Array], iteration: int) -> None:
        """At the end of the steps go back."""
        if self.steps and (iteration + 1) % self.steps == 0:
            slow = histories[-1]
            slow += (weight - slow) * slow.dtype.type(self.alpha)
            weight[...] = slow
