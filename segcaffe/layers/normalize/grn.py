"""GRN: global response normalisation, in the sense of OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs
from segcaffe.layers.normalize.unit_length import UnitLength
from segcaffe.layers.registry import register


@register
class GRN(UnitLength):
    """y = x / sqrt(sum of x² over the channels + bias), pixel by pixel.

    bottom: (N, C, ...);  top: the same shape. With dummy_backward the gradient passes as it is. From OpenVINO's
    training.
    """

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the bias."""
        self.eps = self.param.grn_param.bias
        if self.eps < 0:
            raise self.fail("grn_param.bias must not be negative.", f"{self.eps:g}")

    def axes(self, ndim: int) -> tuple[int, int]:
        """The channels."""
        return 1, 2

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """As told."""
        if not self.param.grn_param.dummy_backward:
            super().backward(top, propagate_down, bottom)
        elif propagate_down[0]:
            copy.copy(top[0].grad, bottom[0].grad)
