"""SpatialPyramidPooling: the largest value of each cell of several grids over an image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from segcaffe.device.mode import Array
from segcaffe.layers.base import Blobs, Layer
from segcaffe.layers.registry import register
from segcaffe.proto import caffe_pb2

_MOST_CELLS = 512
"""On a side of a grid."""


@register
class SpatialPyramidPooling(Layer):
    """The maximum over each cell of grids of b x b cells, for each b of spatial_bin; cells overlap by parts of pixels.

    bottom: (N, C, H, W);  top: (N, C·(b1² + b2² + ..)), grid by grid, or for one grid (N, C, b, b). Cell i reaches from
    row floor(i·H/b) to row ceil((i + 1)·H/b), computed in float32. As it was proposed for Caffe before SPP (He et al.,
    2014); the regions of other methods were never built.
    """

    backward_reads = ("bottoms",)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the grids."""
        options = self.param.spatial_pyramid_pooling_param
        self.bins = list(options.spatial_bin)
        if options.pool != caffe_pb2.SpatialPyramidPoolingParameter.MAX or options.scale:
            raise self.fail("pools maxima, of one scale.", str(options).replace("\n", " ").strip())
        if min(self.bins, default=0) < 1:
            raise self.fail("needs spatial_bin, 1 or more cells a side.", self.bins)
        self.check_range("spatial_bin", max(self.bins), 1, _MOST_CELLS)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Find the cells."""
        shape = bottom[0].shape
        if len(shape) != 4 or min(shape[1:]) < 1:
            raise self.fail("the bottom must have 4 axes (N, C, H, W), none empty.", f"shape {shape}")
        self.cells = [list(_cells(bins, *shape[2:])) for bins in self.bins]
        if len(self.bins) == 1:
            top[0].reshape(*shape[:2], self.bins[0], self.bins[0])
        else:
            top[0].reshape(shape[0], shape[1] * sum(bins * bins for bins in self.bins))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Pool."""
        for bins, cells, out in zip(self.bins, self.cells, self._grids(top[0].array), strict=True):
            for i, (_, _, rows, columns) in enumerate(cells):
                if i % bins == 0:
                    band = self.xp.amax(bottom[0].array[:, :, rows], axis=2)
                self.xp.amax(band[:, :, columns], axis=2, out=out[:, :, i])

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Add each gradient to the first of the largest values of its cell."""
        if not propagate_down[0]:
            return
        x, dx = bottom[0].array, bottom[0].grad
        dx.fill(0)
        items, channels = self.xp.arange(x.shape[0])[:, None], self.xp.arange(x.shape[1])
        for cells, dy in zip(self.cells, self._grids(top[0].grad), strict=True):
            for i, cell in enumerate(cells):
                part = x[cell]
                first = part.reshape(*x.shape[:2], math.prod(part.shape[2:])).argmax(axis=2)
                dx[cell][items, channels, first // part.shape[3], first % part.shape[3]] += dy[:, :, i]

    def _grids(self, array: Array) -> Iterator[Array]:
        """The part of each grid, (N, C, cells)."""
        flat, first = array.reshape(array.shape[0], math.prod(array.shape[1:])), 0
        channels = flat.shape[1] // sum(bins * bins for bins in self.bins)
        for bins in self.bins:
            last = first + channels * bins * bins
            yield flat[:, first:last].reshape(array.shape[0], channels, bins * bins)
            first = last


def _cells(bins: int, height: int, width: int) -> Iterator[tuple[slice, ...]]:
    """Where the cells lie, row by row."""
    sides = [np.float32(extent) / np.float32(bins) for extent in (height, width)]
    for i, j in np.ndindex(bins, bins):
        starts = (int(np.floor(k * side)) for k, side in zip((i, j), sides, strict=True))
        stops = (int(np.ceil((k + 1) * side)) for k, side in zip((i, j), sides, strict=True))
        rows, columns = (
            slice(start, min(stop, extent)) for start, stop, extent in zip(starts, stops, (height, width), strict=True)
        )
        yield slice(None), slice(None), rows, columns
