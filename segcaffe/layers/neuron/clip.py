"""Clip: limit values to a range."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import elementwise
from segcaffe.layers.base import Blobs, NeuronLayer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.saved_input import SavedInput


@register
class Clip(SavedInput, NeuronLayer):
    """y = x, at least min and at most max."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the bounds; both must be given."""
        options = self.param.clip_param
        if not (options.HasField("min") and options.HasField("max")):
            raise self.fail("clip_param needs both min and max.", f"clip_param {{ {_text(options)} }}")
        if options.min > options.max:
            raise self.fail("min must not exceed max.", f"min {options.min:g}, max {options.max:g}")
        self.low, self.high = options.min, options.max

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Limit each value."""
        self.save_input(bottom, top)
        elementwise.clip(bottom[0].array, self.low, self.high, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Pass the gradient where x lies within the bounds, else 0."""
        if propagate_down[0]:
            elementwise.clip_grad(self.saved_input(bottom), top[0].grad, self.low, self.high, bottom[0].grad)


def _text(message: object) -> str:
    return " ".join(str(message).split())
