"""ReLU: rectified linear units."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput
from segcaffe.proto.caffe_pb2 import ReLUParameter


@register
class ReLU(SavedInput, NeuronLayer):
    """y = x where x > 0, else negative_slope·x.

    With relu6 y is 6 at most; with maximum, unless that is 0, at most the maximum, and with minimum at least the
    minimum. The gradient is 0 where y is at a limit.
    """

    fork_options = frozenset(f"ReLUParameter.{name}" for name in ("relu6", "maximum", "minimum"))

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the slope and the limits."""
        options = self.param.relu_param
        self.slope = options.negative_slope
        self.low, self.high = limits(options)
        self.limited = math.isfinite(self.low) or math.isfinite(self.high)
        self.backward_reads = ("bottoms", "tops") if self.limited else ("bottoms",)

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Rectify."""
        self.save_input(bottom, top)
        elementwise.relu(bottom[0].array, self.slope, top[0].array)
        if self.limited:
            elementwise.clip(top[0].array, self.low, self.high, top[0].array)

    def saves_input(self) -> bool:
        """Where the slope is negative; otherwise the output has the input's sign and serves the gradient as well."""
        return bool(self.slope < 0)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Pass the gradient where x > 0, else its negative_slope part; nothing at a limit."""
        if not propagate_down[0]:
            return
        grad, out = top[0].grad, bottom[0].grad
        if self.limited:
            inside = [self.dtype.type(limit) for limit in (self.low, self.high)]
            low, high = np.nextafter(inside[0], inside[1]), np.nextafter(inside[1], inside[0])
            elementwise.clip_grad(top[0].array, grad, low, high, out)
            grad = out
        elementwise.relu_grad(self.saved_input(bottom), grad, self.slope, out)


def limits(options: ReLUParameter) -> tuple[float, float]:
    """Return the least and the largest value that a ReLU gives; infinite where there is none."""
    high = min(6 if options.relu6 else math.inf, options.maximum if options.maximum > 0 else math.inf)
    return options.minimum or -math.inf, high
