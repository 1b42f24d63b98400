"""HardSwish: x times a ramp."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import activation
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class HardSwish(SavedInput, NeuronLayer):
    """y = x·(x + 3)/6, the second factor at least 0 and at most 1.   [Howard et al. 2019]."""

    RAMP = 1 / 6, 0.5

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Apply the function."""
        self.save_input(bottom, top)
        activation.hard_swish(bottom[0].array, *self.RAMP, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Multiply by the slope."""
        if propagate_down[0]:
            activation.hard_swish_grad(self.saved_input(bottom), top[0].grad, *self.RAMP, bottom[0].grad)
