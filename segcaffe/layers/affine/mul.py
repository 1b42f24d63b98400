"""Mul: a product whose factors are broadcast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segcaffe.blob import Blob
from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2


@register
class Mul(Layer):
    """y = a·b, with NumPy's rules of broadcasting: shapes are compared from the last axis on, and 1 fits every extent.

    bottom: a, and b where that is not a parameter;  top: the shape of both together.
    param blob: b (unless it is bottom 1), of shape mul_shape, 0 at first. From Synopsys' Caffe.
    """

    bottom_count = (1, 2)
    backward_reads = ("bottoms",)

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """The factor, unless it is a bottom."""
        return int(bottoms == 1)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Make the parameter."""
        if len(bottom) == 1:
            self.add_parameter(tuple(self.param.mul_param.mul_shape), caffe_pb2.FillerParameter())

    def _factor(self, bottom: Blobs) -> Blob:
        return bottom[1] if len(bottom) == 2 else self.blobs[0]

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Broadcast the shapes."""
        shapes = bottom[0].shape, self._factor(bottom).shape
        try:
            top[0].reshape(*np.broadcast_shapes(*shapes))
        except ValueError:
            rule = "extents must be equal, or one of them 1, from the last axis on."
            raise self.fail(rule, f"shapes {shapes[0]} and {shapes[1]}") from None

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Multiply."""
        self.xp.multiply(bottom[0].array, self._factor(bottom).array, out=top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The other factor times dy, summed over what was broadcast."""
        dy, factor = top[0].grad, self._factor(bottom)
        if len(bottom) == 1 and self.wants_param(0):
            factor.grad[...] += _summed(dy * bottom[0].array, factor.shape)
        if len(bottom) == 2 and propagate_down[1]:
            factor.grad[...] = _summed(dy * bottom[0].array, factor.shape)
        if propagate_down[0]:
            bottom[0].grad[...] = _summed(dy * factor.array, bottom[0].shape)


def _summed(array: Array, shape: tuple[int, ...]) -> Array:
    """Sums over the axes along which ``shape`` was broadcast."""
    added = array.ndim - len(shape)
    axes = [*range(added), *(added + i for i, extent in enumerate(shape) if extent == 1)]
    return array.sum(axis=tuple(axes)).reshape(shape)
