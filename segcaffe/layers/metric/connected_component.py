"""ConnectedComponent: areas of one label that hang together."""

from __future__ import annotations

import numpy as np

from segcaffe.kernels import components
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.loss.class_labels import whole_numbers
from segcaffe.layers.registry import register


@register
class ConnectedComponent(Layer):
    """A number of its own for each area of pixels of one label that touch along an edge.

    bottom: labels (N, C, H, W);  top: the same shape.

    In each plane 0 stays 0, and areas are numbered from the plane's largest label (or 0) plus 1 on, in the order of
    their first pixels. No gradient. From Greentea.
    """

    gradient_to = ()
    refuses_gradient = False
    replayable = False

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """The bottom's shape."""
        if bottom[0].ndim != 4:
            raise self.fail("the labels must be (N, C, H, W)", f"shape {bottom[0].shape}")
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Number the areas."""
        labels = whole_numbers(self, bottom[0])
        height, width = labels.shape[2:]
        found = np.empty((labels.shape[0] * labels.shape[1], height, width), np.int64)
        components.number(labels.reshape(found.shape), found)
        top[0].data[...] = found.reshape(labels.shape)
