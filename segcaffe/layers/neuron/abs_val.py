"""AbsVal: absolute value."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class AbsVal(SavedInput, NeuronLayer):
    """y = |x|; the gradient at 0 is 0."""

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Drop the sign."""
        self.save_input(bottom, top)
        elementwise.absolute(bottom[0].array, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = dy·sign(x)."""
        if propagate_down[0]:
            elementwise.multiply_sign(top[0].grad, self.saved_input(bottom), 1.0, bottom[0].grad)
