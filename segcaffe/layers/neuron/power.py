"""Power: a linear map raised to a power."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput
from segcaffe.threads import recording


@register
class Power(SavedInput, NeuronLayer):
    """y = (shift + scale·x)^power."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read power, scale and shift."""
        options = self.param.power_param
        self.power, self.scale, self.shift = options.power, options.scale, options.shift
        self.constant = self.power == 0 or self.scale == 0
        if self.constant and self.power:
            self._check_constant()

    def _check_constant(self) -> None:
        with np.errstate(all="ignore"):
            constant = np.float64(self.shift) ** self.power
        if not np.isfinite(constant):
            received = f"shift {self.shift:g}, power {self.power:g}"
            raise self.fail("with scale 0 the output is shift^power, which must be a number.", received)

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Raise to the power; NaN where a negative number meets a broken power."""
        if self.constant:
            recording.refuse()
            top[0].array[...] = self.shift**self.power if self.power else 1
        elif self.power == 1:
            elementwise.linear(bottom[0].array, self.scale, self.shift, top[0].array)
        else:
            self.save_input(bottom, top)
            elementwise.power(bottom[0].array, self.scale, self.shift, self.power, top[0].array)

    def saves_input(self) -> bool:
        """Where the slope depends on the input."""
        return not self.constant and self.power != 1

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = power·scale·(shift + scale·x)^(power - 1)·dy."""
        if not propagate_down[0]:
            return
        dx, dy, factor = bottom[0].grad, top[0].grad, self.power * self.scale
        if self.constant:
            dx[...] = 0
        elif self.power == 1:
            elementwise.linear(dy, factor, 0.0, dx)
        elif self.power == 2:
            elementwise.linear_multiply(self.saved_input(bottom), dy, factor * self.scale, factor * self.shift, dx)
        else:
            slope = self.xp.empty_like(dx) if top[0] is bottom[0] else dx
            elementwise.power(self.saved_input(bottom), self.scale, self.shift, self.power - 1, slope)
            elementwise.multiply(slope, dy, factor, dx)
