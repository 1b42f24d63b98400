"""Threshold: 1 above a limit, else 0."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer
from segcaffe.layers.registry import register


@register
class Threshold(NeuronLayer):
    """y = 1 where x > threshold, else 0; no gradient."""

    gradient_to = ()

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the limit."""
        self.threshold = self.param.threshold_param.threshold

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Compare."""
        elementwise.threshold(bottom[0].array, self.threshold, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """A step has no gradient."""
