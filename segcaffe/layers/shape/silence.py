"""Silence: a reader for blobs that no other layer reads."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register
from segcaffe.threads import recording


@register
class Silence(Layer):
    """Takes any bottoms and does nothing, so that they are not outputs of the net; their gradients are 0.

    bottom: any number, any shapes; no top.
    """

    bottom_count = (1, None)
    top_count = (0, 0)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """No tops to shape."""

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Ignore the bottoms."""
        recording.nothing()

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Set the gradients to 0."""
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            if wanted:
                blob.grad[...] = 0
