"""ReLU6: a rectifier that ends at 6."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class ReLU6(SavedInput, NeuronLayer):
    """y = x, at least 0 and at most 6.   [Krizhevsky 2010].

    The gradient is that of x between 0 and 6, both left out.
    """

    draw_color = "#90EE90"

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Limit each value."""
        self.save_input(bottom, top)
        elementwise.clip(bottom[0].array, 0, 6, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Pass the gradient where x lies between the ends, else 0."""
        if propagate_down[0]:
            zero, six = self.dtype.type(0), self.dtype.type(6)
            low, high = np.nextafter(zero, six), np.nextafter(six, zero)
            elementwise.clip_grad(self.saved_input(bottom), top[0].grad, low, high, bottom[0].grad)
