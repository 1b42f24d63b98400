"""Axpy: a scale for each channel of each item, and a sum."""

from __future__ import annotations

from collections.abc import Sequence

from segcaffe.device.mode import Array
from segcaffe.kernels import channelwise, copy, elementwise
from segcaffe.layers.base import Blobs, Layer, recordable
from segcaffe.layers.registry import register
from segcaffe.layers.views import planes


@register
class Axpy(Layer):
    """y = a·x + z, a channel by channel of each item.   [Hu et al. 2018, SENet].

    bottom: a (N, C) or (N, C, 1, 1), x and z (N, C, ...);  top: y as x.
    """

    bottom_count = (3, 3)
    backward_reads = ("bottoms",)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check the shapes."""
        a, x, z = (blob.shape for blob in bottom)
        if len(x) < 2 or a[:2] != x[:2] or any(extent != 1 for extent in a[2:]) or z != x:
            rule = "needs a of shape (N, C) or (N, C, 1, 1), and x and z of the same shape (N, C, ...)."
            raise self.fail(rule, f"shapes {a}, {x} and {z}")
        top[0].reshape_like(bottom[1])

    @recordable
    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Scale and add."""
        self._scale(bottom, bottom[1].array, top[0].array)
        elementwise.combine(top[0].array, 1, bottom[2].array, 1, top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Da is the sum of x·dy over a channel, dx = a·dy, dz = dy."""
        dy = top[0].grad
        if propagate_down[0]:
            channelwise.channel_dot(
                dy.reshape(self._view(dy)), bottom[1].array.reshape(self._view(dy)), bottom[0].grad.reshape(-1)
            )
        if propagate_down[1]:
            self._scale(bottom, dy, bottom[1].grad)
        if propagate_down[2]:
            copy.copy(dy, bottom[2].grad)

    def _scale(self, bottom: Blobs, x: Array, y: Array) -> None:
        factors = bottom[0].array.reshape(-1)
        channelwise.affine(x.reshape(self._view(x)), factors, self.xp.zeros_like(factors), y.reshape(self._view(x)))

    def _view(self, array: Array) -> tuple[int, int, int]:
        """Every channel of every item as a channel of one."""
        items, channels, positions = planes(array).shape
        return 1, items * channels, positions
