"""ChannelReduce: sums or maxima over groups of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segcaffe.kernels import copy, group_max
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2


@register
class ChannelReduce(Layer):
    """Reduces each run of C / num_channels successive channels to one, by its MAX (default) or SUM.

    bottom: (N, C, H, W);  top: (N, num_channels, H, W). Of equal maxima the first takes the gradient.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the operation."""
        options = self.param.channel_reduce_param
        self.maximum = options.operation == caffe_pb2.ChannelReduceParameter.MAX
        self.num_channels = options.num_channels

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that the groups are of one size."""
        shape = bottom[0].shape
        if len(shape) < 2:
            raise self.fail("the bottom must have channels, axis 1.", f"shape {shape}")
        if self.num_channels < 1 or shape[1] % self.num_channels or shape[1] == 0:
            received = f"num_channels {self.num_channels}, {shape[1]} channels"
            raise self.fail("num_channels must divide the number of channels.", received)
        top[0].reshape(shape[0], self.num_channels, *shape[2:])

        self._view = (shape[0] * self.num_channels, shape[1] // self.num_channels, math.prod(shape[2:]))
        self._out_view = (self._view[0], self._view[2])
        if self.maximum:
            self._first = self.own_blob("first", self._out_view, np.int32, saved=True)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Reduce each group."""
        x, y = bottom[0].array.reshape(self._view), top[0].array.reshape(self._out_view)
        if self.maximum:
            group_max.forward(x, y, self._first.array)
        else:
            copy.sum_copies(x, y)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The gradient goes to the maximum, or to the whole group."""
        if not propagate_down[0]:
            return
        dy, dx = top[0].grad.reshape(self._out_view), bottom[0].grad.reshape(self._view)
        if self.maximum:
            group_max.backward(dy, self._first.array, dx)
        else:
            copy.copy(dy[:, None], dx)
