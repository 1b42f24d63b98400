"""BNLL: binomial normal log likelihood, also known as softplus."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class BNLL(SavedInput, NeuronLayer):
    """y = ln(1 + e^x)."""

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Apply the unit."""
        self.save_input(bottom, top)
        elementwise.softplus(bottom[0].array, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = sigmoid(x)·dy."""
        if propagate_down[0]:
            elementwise.softplus_grad(self.saved_input(bottom), top[0].grad, bottom[0].grad)
