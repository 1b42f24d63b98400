"""Log: logarithm with a base of choice."""

from __future__ import annotations

import math
from collections.abc import Sequence

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class Log(SavedInput, NeuronLayer):
    """y = log_base(scale·x + shift); base -1 means e."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Turn base, scale and shift into y = outer·ln(scale·x + shift)."""
        options = self.param.log_param
        if options.base != -1 and (options.base <= 0 or options.base == 1):
            raise self.fail("the base must be positive and not 1, or -1 for e.", options.base)
        self.outer = 1.0 if options.base == -1 else 1 / math.log(options.base)
        self.scale, self.shift = options.scale, options.shift

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Take the logarithm; NaN where scale·x + shift is negative."""
        self.save_input(bottom, top)
        elementwise.logarithm(bottom[0].array, self.scale, self.shift, self.outer, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = scale / ln(base) / (scale·x + shift)·dy."""
        if propagate_down[0]:
            factor = self.outer * self.scale
            x, dy, dx = self.saved_input(bottom), top[0].grad, bottom[0].grad
            elementwise.reciprocal_grad(x, dy, self.scale, self.shift, factor, dx)
