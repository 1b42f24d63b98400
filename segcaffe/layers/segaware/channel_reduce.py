"""ChannelReduce: sums or maxima over groups of channels."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.device.mode import Array
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

    def _groups(self, array: Array) -> Array:
        """Axes (image, group, channel of the group, pixel)."""
        return array.reshape(array.shape[0], self.num_channels, array.shape[1] // self.num_channels, -1)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Reduce each group."""
        groups = self._groups(bottom[0].array)
        if self.maximum:
            self._first = groups.argmax(2)[:, :, None]
            top[0].array = self.xp.take_along_axis(groups, self._first, 2).reshape(top[0].shape)
        else:
            groups.sum(2, out=self._groups(top[0].array)[:, :, 0])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The gradient goes to the maximum, or to the whole group."""
        if not propagate_down[0]:
            return
        dy, dx = self._groups(top[0].grad), self._groups(bottom[0].grad)
        dx[...] = self._own(dx) * dy if self.maximum else dy

    def _own(self, dx: Array) -> Array:
        """1 for the channels that are their group's maximum."""
        return self.xp.arange(dx.shape[2])[:, None] == self._first
