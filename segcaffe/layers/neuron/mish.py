"""Mish."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import activation
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class Mish(SavedInput, NeuronLayer):
    """y = x·tanh(ln(1 + e^x)).   [Misra 2019]."""

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Apply the function."""
        self.save_input(bottom, top)
        activation.mish(bottom[0].array, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Multiply by the slope."""
        if propagate_down[0]:
            activation.mish_grad(self.saved_input(bottom), top[0].grad, bottom[0].grad)
