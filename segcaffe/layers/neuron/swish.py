"""Swish: x times its own sigmoid."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class Swish(SavedInput, NeuronLayer):
    """y = x / (1 + e^(-beta·x)).   [Ramachandran et al. 2017]."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read beta."""
        self.beta = self.param.swish_param.beta

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Apply the unit."""
        self.save_input(bottom, top)
        elementwise.swish(bottom[0].array, self.beta, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = (s + beta·x·s·(1 - s))·dy with s = sigmoid(beta·x)."""
        if propagate_down[0]:
            elementwise.swish_grad(self.saved_input(bottom), top[0].grad, self.beta, bottom[0].grad)
