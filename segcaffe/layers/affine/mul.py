"""Mul: a product whose factors are broadcast."""

from __future__ import annotations

from segcaffe.device.mode import Array
from segcaffe.layers.affine.pairwise import Pairwise
from segcaffe.layers.base import Blobs
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2


@register
class Mul(Pairwise):
    """y = a·b, with NumPy's rules of broadcasting: shapes are compared from the last axis on, and 1 fits every extent.

    bottom: a, and b where that is not a parameter;  top: the shape of both together.
    param blob: b (unless it is bottom 1), of shape mul_shape, 0 at first. From Synopsys' Caffe.
    """

    backward_reads = ("bottoms",)

    @classmethod
    def parameter_count(cls, param: caffe_pb2.LayerParameter, bottoms: int) -> int:
        """The factor, unless it is a bottom."""
        return int(bottoms == 1)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Make the parameter."""
        if len(bottom) == 1:
            self.add_parameter(tuple(self.param.mul_param.mul_shape), caffe_pb2.FillerParameter())

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Multiply."""
        self.xp.multiply(bottom[0].array, self.second(bottom).array, out=top[0].array)

    def slopes(self, a: Array, b: Array) -> tuple[Array | float, Array | float]:
        """Each other."""
        return b, a
