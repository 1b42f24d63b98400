"""What layers share that enlarge or shrink images by taking the nearest pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segcaffe import device
from segcaffe.device.mode import Array
from segcaffe.kernels import copy
from segcaffe.layers.base import Blobs, Layer, Read, recordable


class Repeated(Layer):
    """Each pixel becomes a block of pixels.

    bottom: (..., H, W);  top: (..., H·fy, W·fx).
    """

    backward_reads: tuple[Read, ...] = ()
    factors: tuple[int, int]

    def check_factors(self) -> None:
        """Raise unless there is a block at all."""
        if min(self.factors) < 1:
            raise self.fail("the factor must be 1 or more.", self.factors)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Multiply the two last extents."""
        shape = bottom[0].shape
        if len(shape) < 2:
            raise self.fail("the bottom must have 2 axes (..., H, W) or more.", f"shape {shape}")
        top[0].reshape(*shape[:-2], shape[-2] * self.factors[0], shape[-1] * self.factors[1])

    @recordable
    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy each pixel into its block."""
        x, y = bottom[0].array, self._blocks(top[0].array)
        rows = math.prod(x.shape[:-1])
        copy.repeat(x.reshape(rows, x.shape[-1]), y.reshape(rows, *y.shape[-3:]))

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add up each block."""
        if propagate_down[0]:
            dx, dy = bottom[0].grad, self._blocks(top[0].grad)
            copy.copy(dy[..., 0, :, 0], dx)
            for row, column in list(np.ndindex(*self.factors))[1:]:
                dx += dy[..., row, :, column]

    def _blocks(self, array: Array) -> Array:
        """(..., H, fy, W, fx)."""
        rows, columns = array.shape[-2] // self.factors[0], array.shape[-1] // self.factors[1]
        return array.reshape(*array.shape[:-2], rows, self.factors[0], columns, self.factors[1])


class Picked(Layer):
    """Each pixel of the top is one of the bottom, by tables of rows and columns of two axes."""

    backward_reads = ()

    def spatial(self) -> tuple[int, int]:
        """The axes of rows and of columns."""
        raise NotImplementedError

    def tables(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """For each row and for each column of the top that of the bottom."""
        raise NotImplementedError

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Look up the rows and columns."""
        shape = bottom[0].shape
        if len(shape) != 4:
            raise self.fail("the bottom must have 4 axes.", f"shape {shape}")
        if min(shape[axis] for axis in self.spatial()) < 1:
            raise self.fail("the bottom must have a pixel.", f"shape {shape}")
        self._host = self.tables(shape)
        self._tables = [device.to_device(table) for table in self._host]
        extents = list(shape)
        for axis, table in zip(self.spatial(), self._host, strict=True):
            extents[axis] = len(table)
        top[0].reshape(*extents)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Pick."""
        (rows, columns), (first, second) = self._tables, self.spatial()
        picked = self.xp.take(bottom[0].array, rows, axis=first)
        self.xp.take(picked, columns, axis=second, out=top[0].array)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add each gradient to its pixel's."""
        if propagate_down[0]:
            dx, dy = bottom[0].grad, top[0].grad
            first, second = self.spatial()
            dx[...] = 0
            dx += self._added(self._added(dy, 1, second, dx.shape[second]), 0, first, dx.shape[first])

    def _added(self, grad: Array, which: int, axis: int, extent: int) -> Array:
        """Sums of the slices along an axis that were picked from the same place; tables never fall."""
        table = self._host[which]
        starts = np.searchsorted(table, np.arange(extent), "left")
        ends = np.searchsorted(table, np.arange(extent), "right")
        out = self.xp.zeros((*grad.shape[:axis], extent, *grad.shape[axis + 1 :]), self.dtype)
        before = (slice(None),) * axis
        for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
            if end > start:
                picked, target = (*before, slice(int(start), int(end))), (*before, place)
                out[target] = grad[picked].sum(axis=axis)
        return out
