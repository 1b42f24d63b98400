"""Bias: sum with a parameter or a second bottom."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.blob import Blob
from segcaffe.kernels import channelwise, copy
from segcaffe.layers.affine.broadcast import Broadcast
from segcaffe.layers.base import Blobs, recordable
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2


@register
class Bias(Broadcast):
    """y = x + bias, the bias broadcast over the other axes.

    bottom: x, and the bias where that is not a parameter;  top: as x.
    param blob: bias (unless it is bottom 1), of the shape of num_axes axes from axis on.
    """

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """The bias, unless it is a bottom."""
        return int(bottoms == 1)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Make the parameter: 0 unless the filler says otherwise."""
        options = self.param.bias_param
        self.axis = options.axis
        self.has_parameter = len(bottom) == 1
        if self.has_parameter:
            self.add_parameter(self.parameter_shape(bottom, options), options.filler)

    def _bias(self, bottom: Blobs) -> Blob:
        return self.blobs[0] if self.has_parameter else bottom[1]

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the bias's axes against the bottom's."""
        self._view = self.find_view(bottom, self._bias(bottom), self.axis)
        if top[0] is not bottom[0]:
            top[0].reshape_like(bottom[0])

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Add."""
        bias = self._bias(bottom).array.reshape(-1)
        x, y = bottom[0].array.reshape(self._view), top[0].array.reshape(self._view)
        channelwise.affine(x, self.xp.ones_like(bias), bias, y)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """The bottom's gradient is dy, the bias's is the sum of dy."""
        dy = top[0].grad.reshape(self._view)
        if self.wants_param(0) if self.has_parameter else propagate_down[1]:
            total = self.xp.empty((self._view[1],), self.dtype)
            channelwise.channel_sum(dy, total)
            grad = self._bias(bottom).grad.reshape(-1)
            grad[...] = grad + total if self.has_parameter else total
        if propagate_down[0] and top[0] is not bottom[0]:
            copy.copy(top[0].grad, bottom[0].grad)
