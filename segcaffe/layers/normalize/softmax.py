"""Softmax: scores to probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import softmax
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.loss.class_labels import class_layout
from segcaffe.layers.registry import register


@register
class Softmax(NeuronLayer):
    """Top = exp(x) over the sum of exp(x) along softmax_param.axis.

    bottom: scores of any shape; top: probabilities of the same shape, also in place.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the axis."""
        self.axis: int = self.param.softmax_param.axis

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Find what lies before and after the axis."""
        super().reshape(bottom, top)
        self.layout = class_layout(self, bottom[0], self.axis)

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compute the probabilities."""
        softmax.forward(bottom[0].array.reshape(self.layout), top[0].array.reshape(self.layout))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Gradient p (g - sum of p g)."""
        if propagate_down[0]:
            prob, grad = top[0].array.reshape(self.layout), top[0].grad.reshape(self.layout)
            softmax.backward(prob, grad, bottom[0].grad.reshape(self.layout))
