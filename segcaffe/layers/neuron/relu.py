"""ReLU: rectified linear units."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class ReLU(SavedInput, NeuronLayer):
    """y = x where x > 0, else negative_slope·x."""

    backward_reads = ("bottoms",)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the slope."""
        self.slope = self.param.relu_param.negative_slope

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Rectify."""
        self.save_input(bottom, top)
        elementwise.relu(bottom[0].array, self.slope, top[0].array)

    def saves_input(self) -> bool:
        """Where the slope is negative; otherwise the output has the input's sign and serves the gradient as well."""
        return bool(self.slope < 0)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Pass the gradient where x > 0, else its negative_slope part."""
        if propagate_down[0]:
            elementwise.relu_grad(self.saved_input(bottom), top[0].grad, self.slope, bottom[0].grad)
