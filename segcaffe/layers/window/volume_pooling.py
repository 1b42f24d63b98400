"""Pooling of volumes by the kernels for planes: each plane first, then along the depth.

The maximum of a box is the largest of its planes' maxima, and the mean the mean of its planes' means, since as many
pixels of each plane count.
"""

from __future__ import annotations

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.kernels import pooling
from segcaffe.layers.base import Layer
from segcaffe.window import Window

Shape = tuple[int, ...]


class VolumePooling:
    """Pools volumes (N, C, D, H, W) into (N, C, D', H', W') for a layer, which holds what is needed in between.

    ``window`` has three axes; ``mean`` says that means are wanted rather than maxima, ``pixels_only`` over what.
    """

    def __init__(self, layer: Layer, window: Window, shape: Shape, out: Shape, mean: bool, pixels_only: bool) -> None:
        self.planes, self.depth = _part(window, slice(1, 3)), _along(window)
        n, c, d = shape[:3]
        pixels = out[3] * out[4]
        self.image, self.between = (n, c * d, *shape[3:]), (n, c * d, *out[3:])
        self.column, self.out = (n * c, 1, d, pixels), (n * c, 1, out[2], pixels)
        self.mean, self.pixels_only = mean, pixels_only
        self._between = layer.own_blob("between", self.between)
        if not mean:
            self._mask = layer.own_blob("mask", self.out, np.int32, saved=True)
            self._plane_mask = layer.own_blob("plane_mask", self.between, np.int32, saved=True)

    def forward(self, image: Array, out: Array) -> None:
        """Pool; of maxima their places are kept."""
        image, out, between = image.reshape(self.image), out.reshape(self.out), self._between.array
        if self.mean:
            pooling.average_forward(image, between, self.planes, self.pixels_only)
            pooling.average_forward(between.reshape(self.column), out, self.depth, self.pixels_only)
        else:
            pooling.max_forward(image, between, self._plane_mask.array, self.planes)
            pooling.max_forward(between.reshape(self.column), out, self._mask.array, self.depth)

    def backward(self, out_grad: Array, image_grad: Array) -> None:
        """Write the gradient of the volumes."""
        out_grad, image_grad = out_grad.reshape(self.out), image_grad.reshape(self.image)
        between = self._between.array
        column = between.reshape(self.column)
        if self.mean:
            pooling.average_backward(out_grad, column, self.depth, self.pixels_only)
            pooling.average_backward(between, image_grad, self.planes, self.pixels_only)
        else:
            pooling.scatter(out_grad, self._mask.array, column, self.depth)
            pooling.scatter(between, self._plane_mask.array, image_grad, self.planes)


def _part(window: Window, axes: slice) -> Window:
    sizes = (window.kernel[axes], window.stride[axes], window.pad[axes], window.dilation[axes])
    return Window(*sizes, window.where, window.behind[axes])


def _along(window: Window) -> Window:
    """The first axis of a window as one over rows, a pixel wide."""
    first = _part(window, slice(1))
    behind = (*first.behind, 0) if first.behind else ()
    return Window((*first.kernel, 1), (*first.stride, 1), (*first.pad, 0), (*first.dilation, 1), window.where, behind)
