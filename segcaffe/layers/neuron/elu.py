"""ELU: exponential linear units."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.device.mode import Array
from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class ELU(SavedInput, NeuronLayer):
    """y = lambda·x where x > 0, else lambda·alpha·(e^x - 1); lambda is 1 unless given.   [Clevert et al. 2016]."""

    fork_options = frozenset({"ELUParameter.lambda"})

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the factors."""
        self.alpha = self.param.elu_param.alpha
        # The name is a word of Python's.
        self.factor: float = getattr(self.param.elu_param, "lambda")

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Apply the unit."""
        self.save_input(bottom, top)
        elementwise.elu(bottom[0].array, self.alpha, top[0].array)
        self._scale(top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = lambda·dy where x > 0, else lambda·alpha·e^x·dy."""
        if propagate_down[0]:
            elementwise.elu_grad(self.saved_input(bottom), top[0].grad, self.alpha, bottom[0].grad)
            self._scale(bottom[0].grad)

    def _scale(self, array: Array) -> None:
        if self.factor != 1:
            array *= self.dtype.type(self.factor)
