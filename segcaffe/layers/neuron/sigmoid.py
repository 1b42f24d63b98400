"""Sigmoid: the logistic function."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register


@register
class Sigmoid(NeuronLayer):
    """y = 1 / (1 + e^-x)."""

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Squash into (0, 1)."""
        elementwise.sigmoid(bottom[0].array, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = y·(1 - y)·dy."""
        if propagate_down[0]:
            elementwise.sigmoid_grad(top[0].array, top[0].grad, bottom[0].grad)
