"""AccuracyRegression: how far predictions are from their targets."""

from __future__ import annotations

from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register


@register
class AccuracyRegression(Layer):
    """Half the sum of the distances |prediction - target| of an item, on average over the items.

    bottom: predictions and targets (N, ...) of one shape;  top: scalar. As it was proposed for Caffe; less is better.
    """

    bottom_count = (2, 2)
    gradient_to = ()
    options_field = "accuracy_param"

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes."""
        if bottom[0].shape != bottom[1].shape or not bottom[0].ndim:
            shapes = f"shapes {bottom[0].shape} and {bottom[1].shape}"
            raise self.fail("needs predictions and targets of the same shape (N, ...).", shapes)
        top[0].reshape()

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Add up the distances."""
        distances = self.xp.abs(bottom[0].array - bottom[1].array).astype(self.xp.float64)
        top[0].array[...] = distances.sum() / (2 * max(1, bottom[0].shape[0]))
