"""What layers share whose top is the bottom's elements in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer, recordable


class Order(NamedTuple):
    """The bottom seen under ``view``, whose axes in the order ``axes`` give the top, of shape ``top``."""

    view: tuple[int, ...]
    axes: tuple[int, ...]
    top: tuple[int, ...]

    @property
    def inverse(self) -> Order:
        """From the top back to the bottom."""
        view = tuple(self.view[axis] for axis in self.axes)
        return Order(view, tuple(self.axes.index(axis) for axis in range(len(view))), self.view)


class Rearranged(Layer):
    """A layer that reorders the elements of its bottom."""

    backward_reads = ()

    def order(self, shape: tuple[int, ...]) -> Order:
        """The order of a bottom of this shape."""
        raise NotImplementedError

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Find the order; the top has as many elements as the bottom."""
        self._order = self.order(bottom[0].shape)
        top[0].reshape(*self._order.top)

    @recordable
    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the values in the new order."""
        view, axes, _ = self._order
        values = bottom[0].array.reshape(view).transpose(axes)
        copy.copy(values, top[0].array.reshape(values.shape))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Copy the gradient in the old order."""
        if propagate_down[0]:
            view, axes, _ = self._order.inverse
            copy.copy(top[0].grad.reshape(view).transpose(axes), bottom[0].grad.reshape(self._order.view))

    def four_axes(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """The shape, if it is that of images."""
        if len(shape) != 4:
            raise self.fail("the bottom must have 4 axes (N, C, H, W).", f"shape {shape}")
        n, c, h, w = shape
        return n, c, h, w

    def divided(self, extent: int, by: int, what: str) -> int:
        """``extent / by``, which must be whole."""
        if by < 1 or extent % by:
            raise self.fail(f"{what} must be a multiple of {by}.", extent)
        return extent // by
