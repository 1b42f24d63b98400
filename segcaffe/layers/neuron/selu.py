"""SELU, under the names of three Caffes: exponential units that keep mean and variance."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import activation
from segcaffe.layers.base import Blobs, NeuronLayer
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class SeLU(SavedInput, NeuronLayer):
    """y = lambda·x where x > 0, else lambda·alpha·(e^x - 1).   [Klambauer et al. 2017]."""

    options_field = "selu_param"

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read lambda and alpha."""
        options = self.param.selu_param
        # "lambda" is a word of Python's.
        self.numbers: tuple[float, float] = getattr(options, "lambda"), options.alpha

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Apply the function."""
        self.save_input(bottom, top)
        activation.scaled_elu(bottom[0].array, *self.numbers, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Dx = lambda·dy where x > 0, else lambda·alpha·e^x·dy."""
        if propagate_down[0]:
            activation.scaled_elu_grad(self.saved_input(bottom), top[0].grad, *self.numbers, bottom[0].grad)


@register
class SeLu(SeLU):
    """As `SeLU`."""

    options_field = "selu_param"


@register
class SELU(SeLU):
    """As `SeLU`."""

    options_field = "selu_param"
