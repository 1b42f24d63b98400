"""ContinuationIndicator: where the sequences of a batch begin."""

from __future__ import annotations

from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class ContinuationIndicator(Layer):
    """What LSTM and RNN take as ``cont`` where each sequence is one batch long: 0 at the first step, then 1.

    bottom: whatever has as many items as ``axis`` is long;  top: (time_step, items). No gradient.
    """

    gradient_to = ()
    refuses_gradient = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Count the items."""
        options = self.param.continuation_indicator_param
        if options.time_step < 1:
            raise self.fail("time_step must be 1 or more", options.time_step)
        top[0].reshape(options.time_step, bottom[0].shape[bottom[0].canonical_axis(options.axis, self.where)])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Write 0 and 1."""
        top[0].array[...] = 1
        top[0].array[0] = 0
