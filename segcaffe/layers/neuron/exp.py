"""Exp: exponential with a base of choice."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register

_LARGEST = 700.0
"""Whose exponential is still a number."""


@register
class Exp(NeuronLayer):
    """y = base^(scale·x + shift); base -1 means e."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Turn base, scale and shift into y = outer·e^(inner·x)."""
        options = self.param.exp_param
        if options.base != -1 and options.base <= 0:
            raise self.fail("the base must be positive, or -1 for e.", options.base)
        log_base = 1.0 if options.base == -1 else math.log(options.base)
        self.inner, power = log_base * options.scale, log_base * options.shift
        if not power < _LARGEST:
            raise self.fail("base^shift must be a number.", f"base {options.base:g}, shift {options.shift:g}")
        self.outer = math.exp(power)

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Exponentiate."""
        elementwise.exponential(bottom[0].array, self.inner, self.outer, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = ln(base)·scale·y·dy."""
        if propagate_down[0]:
            elementwise.multiply(top[0].array, top[0].grad, self.inner, bottom[0].grad)
