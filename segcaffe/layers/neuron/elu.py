"""ELU: exponential linear units."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class ELU(SavedInput, NeuronLayer):
    """y = x where x > 0, else alpha·(e^x - 1).   [Clevert et al. 2016]."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read alpha."""
        self.alpha = self.param.elu_param.alpha

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Apply the unit."""
        self.save_input(bottom, top)
        elementwise.elu(bottom[0].array, self.alpha, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = dy where x > 0, else alpha·e^x·dy."""
        if propagate_down[0]:
            elementwise.elu_grad(self.saved_input(bottom), top[0].grad, self.alpha, bottom[0].grad)
