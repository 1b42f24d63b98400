"""TanH: hyperbolic tangent."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register


@register
class TanH(NeuronLayer):
    """y = tanh(x)."""

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Squash into (-1, 1)."""
        elementwise.tanh(bottom[0].array, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = (1 - y²)·dy."""
        if propagate_down[0]:
            elementwise.tanh_grad(top[0].array, top[0].grad, bottom[0].grad)
