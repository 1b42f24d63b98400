"""Eltwise: sum, product, quotient, maximum or minimum of equal shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.kernels import copy, elementwise
from segcaffe.layers.base import Blobs, Layer, LayerMemory, recordable
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2
from segcaffe.threads import recording

Options = caffe_pb2.EltwiseParameter
_OPERATIONS = (Options.SUM, Options.PROD, Options.MAX, Options.DIV, Options.MIN)
_PICKS = (Options.MAX, Options.MIN)


@register
class Eltwise(Layer):
    """y = sum of coeff_i·x_i (SUM), product of x_i (PROD), maximum (MAX) or minimum (MIN) of x_i, or x_0 / x_1 (DIV).

    bottom: two or more, of one shape; bottom 1 may have fewer axes, those of bottom 0 from `axis` on, and counts for
    all the others.  top: y, the shape of bottom 0.
    Of equal maxima (minima) the second bottom wins over the first, and both over later ones; it alone gets the
    gradient.
    """

    bottom_count = (2, None)
    fork_options = frozenset(("EltwiseParameter.axis", "EltwiseParameter.operation"))

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the operation and the coefficients."""
        options = self.param.eltwise_param
        self.operation = options.operation
        if self.operation not in _OPERATIONS:
            received = Options.EltwiseOp.Name(self.operation)
            raise self.fail("operation must be SUM, PROD, MAX, DIV or MIN.", received)
        if self.operation == Options.DIV and len(bottom) != 2:
            raise self.fail("operation DIV takes 2 bottoms", f"{len(bottom)} bottoms")
        self.coeff = list(options.coeff) or [1.0] * len(bottom)
        self.stable = options.stable_prod_grad
        reads_bottoms = self.operation in (Options.PROD, Options.DIV)
        reads_tops = self.operation == Options.DIV or (self.operation == Options.PROD and not self.stable)
        self.backward_reads = (*(("bottoms",) if reads_bottoms else ()), *(("tops",) if reads_tops else ()))
        if len(self.coeff) != len(bottom):
            raise self.fail(
                "give no coeff, or one for each bottom.", f"{len(self.coeff)} coefficients for {len(bottom)} bottoms"
            )
        if options.coeff and self.operation in (Options.PROD, Options.DIV):
            received = f"coeff with operation {Options.EltwiseOp.Name(self.operation)}"
            raise self.fail("only operation SUM takes coefficients.", received)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that all shapes are equal, but for bottom 1."""
        self.spread = self._spread(bottom[0].shape, bottom[1].shape) if bottom[0].shape != bottom[1].shape else ()
        for i, blob in enumerate(bottom):
            if blob.shape != bottom[0].shape and i != 1:
                raise self.fail("all bottoms need one shape.", f"{bottom[0].shape} for 0 and {blob.shape} for {i}")
        top[0].reshape_like(bottom[0])
        if self.operation in _PICKS:
            dtype = np.uint8 if len(bottom) <= 256 else np.int32
            self._winner = self.own_blob("winner", bottom[0].shape, dtype, saved=True)

    def _spread(self, shape: tuple[int, ...], small: tuple[int, ...]) -> tuple[int, ...]:
        """The shape that bottom 1 has among the axes of bottom 0, 1 where it counts for all."""
        axis = self.param.eltwise_param.axis
        start = axis + len(shape) if axis < 0 else axis
        if not 0 <= start <= len(shape) - len(small) or shape[start : start + len(small)] != small:
            raise self.fail(
                f"all bottoms need one shape, or bottom 1 that of bottom 0 from axis {axis} on.",
                f"{shape} for 0 and {small} for 1",
            )
        return (*(1,) * start, *small, *(1,) * (len(shape) - start - len(small)))

    def _arrays(self, bottom: Blobs) -> list[Array]:
        """The values of all bottoms, in one shape."""
        arrays = [blob.array for blob in bottom]
        if self.spread:
            whole = self.xp.broadcast_to(arrays[1].reshape(self.spread), bottom[0].shape)
            arrays[1] = self.xp.ascontiguousarray(whole)
        return arrays

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Combine the first two bottoms, then the result with each further one."""
        if self.spread or self.operation in (Options.DIV, Options.MIN):
            recording.refuse()
        arrays, y = self._arrays(bottom), top[0].array
        so_far = arrays[0]
        for i, array in enumerate(arrays[1:], 1):
            if self.operation == Options.SUM:
                elementwise.combine(so_far, self.coeff[0] if i == 1 else 1.0, array, self.coeff[i], y)
            elif self.operation == Options.PROD:
                elementwise.multiply(so_far, array, 1.0, y)
            elif self.operation == Options.MAX:
                elementwise.maximum(so_far, array, i, y, self._winner.array)
            elif self.operation == Options.MIN:
                self._minimum(so_far, array, i, y)
            else:
                with np.errstate(divide="ignore", invalid="ignore"):
                    self.xp.divide(so_far, array, out=y)
            so_far = y

    def _minimum(self, so_far: Array, array: Array, i: int, y: Array) -> None:
        winner = self._winner.array
        if i == 1:
            winner[...] = ~(so_far < array)
            y[...] = self.xp.where(winner, array, so_far)
            return
        smaller = array < so_far
        winner[smaller] = i
        y[...] = self.xp.where(smaller, array, so_far)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Give each bottom its part of the top's gradient, unless a memory plan has handed that on to it."""
        part, given = self._PARTS[self.operation], top[0].buffer("diff")
        handed = [i for i in self._equals() if bottom[i].buffer("diff").place_in(given) == 0]
        arrays = self._arrays(bottom) if "bottoms" in self.backward_reads else []
        for i, wanted in enumerate(propagate_down):
            if not wanted or i in handed:
                continue
            if i != 1 or not self.spread:
                part(self, i, top, arrays, bottom[i].grad)
                continue
            whole = self.xp.empty_like(top[0].grad)
            part(self, i, top, arrays, whole)
            axes = tuple(k for k, size in enumerate(self.spread) if size == 1)
            bottom[i].grad[...] = whole.sum(axis=axes).reshape(bottom[i].shape)

    def _equals(self) -> tuple[int, ...]:
        """The bottoms whose gradient is the top's."""
        if self.operation != Options.SUM:
            return ()
        return tuple(i for i, factor in enumerate(self.coeff) if factor == 1 and not (i == 1 and self.spread))

    def memory(self, bottom: Blobs, top: Blobs, backward: bool) -> LayerMemory:
        """The gradient of a sum is that of each term."""
        return replace(super().memory(bottom, top, backward), hands_on=self._equals())

    def _sum_part(self, i: int, top: Blobs, arrays: list[Array], dx: Array) -> None:
        if self.coeff[i] == 1:
            copy.copy(top[0].grad, dx)
        else:
            elementwise.linear(top[0].grad, self.coeff[i], 0.0, dx)

    def _product_part(self, i: int, top: Blobs, arrays: list[Array], dx: Array) -> None:
        if not self.stable:
            elementwise.divide_multiply(top[0].array, arrays[i], top[0].grad, dx)
            return
        factor = top[0].grad
        for j, other in enumerate(arrays):
            if j != i:
                elementwise.multiply(factor, other, 1.0, dx)
                factor = dx

    def _quotient_part(self, i: int, top: Blobs, arrays: list[Array], dx: Array) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            self.xp.divide(top[0].grad, arrays[1], out=dx)
            if i == 1:
                dx *= top[0].array
                self.xp.negative(dx, out=dx)

    def _picked_part(self, i: int, top: Blobs, arrays: list[Array], dx: Array) -> None:
        elementwise.select(top[0].grad, self._winner.array, i, dx)

    _PARTS: ClassVar[dict[int, Callable[[Eltwise, int, Blobs, list[Array], Array], None]]] = {
        Options.SUM: _sum_part,
        Options.PROD: _product_part,
        Options.DIV: _quotient_part,
        Options.MAX: _picked_part,
        Options.MIN: _picked_part,
    }
