"""Split: one blob for several readers."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import copy, elementwise
from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register
from segcaffe.threads import recording


@register
class Split(Layer):
    """Tops that all are the bottom, its values shared; the gradient is the sum of theirs.

    Nets insert it by themselves where a blob has several readers.
    """

    top_count = (1, None)
    backward_reads = ()
    keeps_channels = True

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Let every top use the bottom's memory."""
        for blob in top:
            blob.reshape_like(bottom[0])
            blob.share_data(bottom[0])

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Nothing to do: the values are shared."""
        recording.nothing()

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add the tops' gradients."""
        if not propagate_down[0]:
            return
        dx = bottom[0].grad
        if len(top) == 1:
            copy.copy(top[0].grad, dx)
        so_far = top[0].grad
        for blob in top[1:]:
            elementwise.combine(so_far, 1.0, blob.grad, 1.0, dx)
            so_far = dx
