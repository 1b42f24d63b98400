"""Eltwise: sum, product or maximum of equal shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.kernels import copy, elementwise
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2

Options = caffe_pb2.EltwiseParameter


@register
class Eltwise(Layer):
    """y = sum of coeff_i·x_i (SUM), product of x_i (PROD), or maximum of x_i (MAX), element by element.

    bottom: two or more, of one shape;  top: y, the same shape.
    Of equal maxima the second bottom wins over the first, and both over later ones; it alone gets the gradient.
    """

    bottom_count = (2, None)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the operation and the coefficients."""
        options = self.param.eltwise_param
        self.operation = options.operation
        if self.operation not in (Options.SUM, Options.PROD, Options.MAX):
            raise self.fail("operation must be SUM, PROD or MAX.", Options.EltwiseOp.Name(self.operation))
        self.coeff = list(options.coeff) or [1.0] * len(bottom)
        self.stable = options.stable_prod_grad
        product = self.operation == Options.PROD
        self.backward_reads = () if not product else ("bottoms",) if self.stable else ("bottoms", "tops")
        if len(self.coeff) != len(bottom):
            raise self.fail(
                "give no coeff, or one for each bottom.", f"{len(self.coeff)} coefficients for {len(bottom)} bottoms"
            )
        if options.coeff and self.operation == Options.PROD:
            raise self.fail("only operation SUM takes coefficients.", "coeff with operation PROD")

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that all shapes are equal."""
        for i, blob in enumerate(bottom):
            if blob.shape != bottom[0].shape:
                raise self.fail("all bottoms need one shape.", f"{bottom[0].shape} for 0 and {blob.shape} for {i}")
        top[0].reshape_like(bottom[0])
        if self.operation == Options.MAX:
            dtype = np.uint8 if len(bottom) <= 256 else np.int32
            self._winner = self.own_blob("winner", bottom[0].shape, dtype, saved=True)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Combine the first two bottoms, then the result with each further one."""
        arrays, y = [blob.array for blob in bottom], top[0].array
        so_far = arrays[0]
        for i, array in enumerate(arrays[1:], 1):
            if self.operation == Options.SUM:
                elementwise.combine(so_far, self.coeff[0] if i == 1 else 1.0, array, self.coeff[i], y)
            elif self.operation == Options.PROD:
                elementwise.multiply(so_far, array, 1.0, y)
            else:
                elementwise.maximum(so_far, array, i, y, self._winner.array)
            so_far = y

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Give each bottom its part of the top's gradient."""
        part = self._PARTS[self.operation]
        for i, wanted in enumerate(propagate_down):
            if wanted:
                part(self, i, top, bottom, bottom[i].grad)

    def _sum_part(self, i: int, top: Blobs, bottom: Blobs, dx: Array) -> None:
        if self.coeff[i] == 1:
            copy.copy(top[0].grad, dx)
        else:
            elementwise.linear(top[0].grad, self.coeff[i], 0.0, dx)

    def _product_part(self, i: int, top: Blobs, bottom: Blobs, dx: Array) -> None:
        if not self.stable:
            elementwise.divide_multiply(top[0].array, bottom[i].array, top[0].grad, dx)
            return
        factor = top[0].grad
        for j, other in enumerate(bottom):
            if j != i:
                elementwise.multiply(factor, other.array, 1.0, dx)
                factor = dx

    def _maximum_part(self, i: int, top: Blobs, bottom: Blobs, dx: Array) -> None:
        elementwise.select(top[0].grad, self._winner.array, i, dx)

    _PARTS: ClassVar[dict[int, Callable[[Eltwise, int, Blobs, Blobs, Array], None]]] = {
        Options.SUM: _sum_part,
        Options.PROD: _product_part,
        Options.MAX: _maximum_part,
    }
