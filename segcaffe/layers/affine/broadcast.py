"""What Scale and Bias share: a blob that is broadcast over some axes of the bottom."""

from __future__ import annotations

import math

from segcaffe.blob import Blob
from segcaffe.layers.base import Blobs, Layer
from segcaffe.proto import caffe_pb2

Options = caffe_pb2.ScaleParameter | caffe_pb2.BiasParameter


class Broadcast(Layer):
    """A layer on (outer, dim, inner) views: its vector, bottom 1 or parameter 0, spans the bottom's middle axes."""

    bottom_count = (1, 2)
    in_place = True
    keeps_channels = True

    def parameter_shape(self, bottom: Blobs, options: Options) -> tuple[int, ...]:
        """The shape of the vector as a parameter: num_axes axes of the bottom from axis on (-1: all, 0: a scalar)."""
        if options.num_axes < -1:
            raise self.fail("num_axes must be -1 (all axes from axis on), 0 (a scalar) or more.", options.num_axes)
        if options.num_axes == 0:
            return ()
        axis = bottom[0].canonical_axis(options.axis, self.where)
        stop = bottom[0].ndim if options.num_axes == -1 else axis + options.num_axes
        if stop > bottom[0].ndim:
            raise self.fail(
                f"axis {options.axis} and num_axes {options.num_axes} reach beyond the bottom's last axis.",
                f"bottom of shape {bottom[0].shape}",
            )
        return bottom[0].shape[axis:stop]

    def find_view(self, bottom: Blobs, vector: Blob, axis: int) -> tuple[int, int, int]:
        """Shape (outer, dim, inner) of the bottom, after checking that the vector's axes fit it."""
        shape = bottom[0].shape
        start = bottom[0].canonical_axis(axis, self.where) if vector.ndim else 0
        stop = start + vector.ndim
        if shape[start:stop] != vector.shape:
            raise self.fail(
                f"the bottom's axes from {axis} on must begin with the shape that is broadcast, {vector.shape}.",
                f"bottom of shape {shape}",
            )
        return math.prod(shape[:start]), vector.count, math.prod(shape[stop:])
