"""Parameter: a learnable blob."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2


@register
class Parameter(Layer):
    """y = w: no bottom; the top is a learnt blob of the given shape, at first 0 or as the filler has it.

    param blobs: w, of the shape of ``parameter_param``.
    """

    bottom_count = (0, 0)
    fork_options = frozenset({"ParameterParameter.filler"})

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """The parameter itself."""
        return 1

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Make the blob."""
        dims = tuple(self.param.parameter_param.shape.dim)
        if any(dim < 1 for dim in dims):
            raise self.fail("every dim of parameter_param's shape must be at least 1.", dims)
        self.add_parameter(dims, self.param.parameter_param.filler)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top the parameter's shape."""
        top[0].reshape_like(self.blobs[0])

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the values: a layer behind may work in place."""
        copy.copy(self.blobs[0].array, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add the top's gradient to the parameter's."""
        if self.wants_param(0):
            self.blobs[0].grad[...] += top[0].grad
