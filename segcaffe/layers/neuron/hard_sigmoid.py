"""HardSigmoid: a ramp from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import activation
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


class Ramp(SavedInput, NeuronLayer):
    """y = slope·x + shift, at least 0 and at most 1.

    Attributes
    ----------
    ramp:
        Slope and shift.
    """

    ramp: tuple[float, float]

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Apply the function."""
        self.save_input(bottom, top)
        activation.hard_sigmoid(bottom[0].array, *self.ramp, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = slope·dy on the ramp, 0 beside it."""
        if propagate_down[0]:
            activation.hard_sigmoid_grad(self.saved_input(bottom), top[0].grad, *self.ramp, bottom[0].grad)


@register
class HardSigmoid(Ramp):
    """y = alpha·x + beta, at least 0 and at most 1."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the ramp."""
        self.ramp = self.param.hard_sigmoid_param.alpha, self.param.hard_sigmoid_param.beta
